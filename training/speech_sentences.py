"""Sentences of our own, spoken by flite, whose phones begin and end at known times.

flite prints with `-psdur` where each phone ends. Nothing that the package does needs it.
"""

from __future__ import annotations

import subprocess
from collections.abc import Iterator
from pathlib import Path

import torch
from torch import Tensor

from training.speech_tracks import read_sound
from training.speech_variants import STEP, Labelled
from vid2vid_cli.speech.encoder import FEATURES_HZ
from vid2vid_cli.speech.reader import GROUPS

VOICES = ("slt", "rms", "awb", "kal16", "kal")
PHONES = {
    "pause": "pau sil",
    "lips shut": "p b m",
    "teeth on lip": "f v",
    "rounded": "uw uh ow ao w oy r er sh ch zh jh",
    "open": "aa ae ah ay aw eh ax",
    "spread": "iy ih ey ix y",
}
GROUP_OF = {phone: GROUPS.index(group) for group, phones in PHONES.items() for phone in phones.split()}
OTHER = GROUPS.index("other")

SENTENCES = """
Bob put the map above the big brown box before breakfast.
My mother baked plum pudding and maple muffins for everybody.
Five brave foxes found a very fine river far above the valley.
We will move the piano to the back room when Peter comes home.
Please bring me a pepper, a bulb of fennel and a pound of beef.
The ship shook as the huge waves washed over the wooden deck.
Who would choose a blue balloon over a new wooden boat?
Even seals need sleep, she agreed, seeing three of them at sea.
The farmer's cart stopped hard against the large barn at dark.
I might find time to climb the high white tower tonight.
How now, shouted the clown, falling down the mountain of towels.
The boy enjoyed the noise of coins, and pointed at the toy.
Every evening seven men mend nets at the edge of the harbour.
Some people simply prefer simple problems; Pam improves them.
A mob of bumblebees hummed by the maple tree in the morning.
Perhaps the pilot will map a path between both bays by Monday.
Very few voices ever gave Eve half of the verve that Vivian has.
If Fred finds the coffee, leave half of it for Olive and Steve.
Rough leaves fell off the roof before the first frost of February.
Think of three thin thieves, then throw them those other things.
Jim just changed the orange jacket in the village shop for cheese.
Treasure and leisure are measured in vision, not in fashion.
Many mimes may make mummies mumble in muffled murmurs.
Papa popped up to pick a pocket full of popcorn and pepper.
The rabbit grabbed a cabbage, and Abby rubbed her baby's elbow.
What a warm wind we had when we went west on Wednesday!
Yesterday you used yellow yarn, and a young yak ate it.
Long songs bring strong young singers to the ringing hall.
Look, a good cook took the book and put it on the wooden hook.
Her early bird heard the nurse turn thirty-third in the circle.
The old road goes over the hill, so go slowly and hold the rope.
Lucy laughed loudly, laying little lemons along the table.
Deep blue lakes and tall green pines surround the quiet camp.
Keep the cake and the coke in the back of the cool kitchen.
Great big dogs dig good garden ground and grow old together.
Time to take ten tiny tins to town, Tom told Tina at two.
Nobody knew when nine nice nannies needed new notebooks.
Six sisters sat singing on the sunny stairs, sipping soda.
Zebras zigzag lazily as the breeze rises over dusty zones.
Harry hopes his horse has had hay, for here he hardly eats.
A computer remembers numbers, but maybe memories are more.
Improve the lamp by removing both bulbs and the bamboo frame.
The empty museum became a place for jam, bread and butter.
Public opinion swept upwards after the summer campaign began.
Obviously the simplest answer may also be the most beautiful.
Above all, be polite to the people who bring up your problem.
Do you believe that eleven elephants could live above a cave?
Back off, said the chief of the coffee shop, waving his fork.
Should we save the leftover veal for a few faithful friends?
Mix half a cup of milk with flour, pepper, vanilla and beans.
One, two, three, four, five, six, seven, eight, nine, ten.
Black and white maps appear in Appendix B on page one hundred.
Amber ambled up to the umbrella and mumbled about the tempo.
The bishop's bookshop sells posters, paper, pencils and ropes.
Good morning, and welcome; today we talk about weather maps.
Stop. Wait a moment. Now, with both hands, push the button.
Oh, I see. Well, maybe. But first, we must pay the plumber.
Hamburg, Bombay, Lima, Panama, Memphis and Paris are on my map.
Empty bottles bob up and down upon the pond beside the pub.
Farewell, my friend. Have faith, be brave and never give up.
""".strip().splitlines()


def spoken(voice: str, number: int, text: str, cache: Path) -> tuple[Path, list[tuple[str, float]]]:
    """Have flite speak a text. Return the file of sound, and each phone with the second at which it ends."""
    place = cache / f"flite_{voice}_{number}.wav"
    command = ["flite", "-voice", voice, "-psdur", "-t", text, str(place)]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    pairs = (pair.rpartition(":") for pair in printed.split())
    return place, [(phone, float(end_s)) for phone, _, end_s in pairs]


def phone_labels(phones: list[tuple[str, float]], steps: int) -> Tensor:
    """Return the group of phones at each step of 20 ms: (T, 1)."""
    labels = torch.zeros(steps, 1)
    start = 0.0
    for phone, end_s in phones:
        first, last = round(start * FEATURES_HZ), round(end_s * FEATURES_HZ)
        labels[first:last] = GROUP_OF.get(phone, OTHER)
        start = end_s
    return labels


def sentences(cache: Path, voices: tuple[str, ...] = VOICES) -> Iterator[Labelled]:
    """Yield every sentence by every voice, with the groups of its phones; `speaker` is the voice's number."""
    cache.mkdir(parents=True, exist_ok=True)
    for which, voice in enumerate(voices):
        for number, text in enumerate(SENTENCES):
            place, phones = spoken(voice, number, text, cache)
            sound = torch.from_numpy(read_sound(place))
            yield Labelled(sound, phone_labels(phones, len(sound) // STEP), which)

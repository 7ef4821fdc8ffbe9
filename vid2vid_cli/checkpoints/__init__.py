"""Files of weights: which exist, where they are stored, how they are downloaded, checked and read."""

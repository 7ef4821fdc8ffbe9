/* Video devices of Linux that are plain files: preloaded, this answers the calls of a driver that takes pictures.
 *
 * The structures and the numbers of the calls come from the kernel's header. VIDEO_FOLDER holds the devices; what
 * device videoN is stands in VIDEO_N: "driver|card|capabilities|format or ?|width|height|row bytes|error of format|
 * error of write", numbers 0 for what is asked or none. What it is asked goes into videoN.log. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <linux/videodev2.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

struct device {
    char path[4096], driver[16], card[32], code[5];
    unsigned capabilities, width, height, row, format_error, write_error;
};

static int find(int descriptor, struct device *device) {
    char link[64], setting[32];
    const char *folder = getenv("VIDEO_FOLDER"), *text;
    snprintf(link, sizeof link, "/proc/self/fd/%d", descriptor);
    ssize_t length = readlink(link, device->path, sizeof device->path - 1);
    if (!folder || length < 0) return 0;
    device->path[length] = 0;
    if (strncmp(device->path, folder, strlen(folder))) return 0;
    unsigned number;
    if (sscanf(device->path + strlen(folder), "/video%u", &number) != 1) return 0;
    snprintf(setting, sizeof setting, "VIDEO_%u", number);
    text = getenv(setting);
    return text && sscanf(text, "%15[^|]|%31[^|]|%x|%4[^|]|%u|%u|%u|%u|%u", device->driver, device->card,
                          &device->capabilities, device->code, &device->width, &device->height, &device->row,
                          &device->format_error, &device->write_error) == 9;
}

static void note(const struct device *device, const char *format, ...) {
    char path[4200];
    va_list arguments;
    snprintf(path, sizeof path, "%s.log", device->path);
    FILE *log = fopen(path, "a");
    va_start(arguments, format);
    vfprintf(log, format, arguments);
    va_end(arguments);
    fclose(log);
}

static int refuse(int error) {
    errno = error;
    return -1;
}

static int set_format(const struct device *device, struct v4l2_format *format) {
    struct v4l2_pix_format *picture = &format->fmt.pix;
    if (format->type != V4L2_BUF_TYPE_VIDEO_OUTPUT || picture->field != V4L2_FIELD_NONE) return refuse(EINVAL);
    if (device->format_error) return refuse(device->format_error);
    note(device, "format %.4s %ux%u colours %u matrix %u levels %u extended %d\n", (char *)&picture->pixelformat,
         picture->width, picture->height, picture->colorspace, picture->ycbcr_enc, picture->quantization,
         picture->priv == V4L2_PIX_FMT_PRIV_MAGIC);
    if (device->code[0] != '?') memcpy(&picture->pixelformat, device->code, 4);
    if (device->width) picture->width = device->width;
    if (device->height) picture->height = device->height;
    unsigned is_nv12 = picture->pixelformat == V4L2_PIX_FMT_NV12;
    unsigned bytes = is_nv12 ? 1 : picture->pixelformat == V4L2_PIX_FMT_RGB24 ? 3 : 2;
    picture->bytesperline = device->row ? device->row : bytes * picture->width;
    picture->sizeimage = picture->bytesperline * (picture->height + (is_nv12 ? picture->height / 2 : 0));
    /* This one counts in whole pages. */
    if (!strcmp(device->driver, "v4l2 loopback")) picture->sizeimage = (picture->sizeimage + 4095) & ~4095u;
    return 0;
}

static int answer(const struct device *device, unsigned long number, void *argument) {
    struct v4l2_capability *about = argument;
    struct v4l2_outputparm *output = &((struct v4l2_streamparm *)argument)->parm.output;
    switch (number) {
    case VIDIOC_QUERYCAP:
        memset(about, 0, sizeof *about);
        strcpy((char *)about->driver, device->driver);
        strcpy((char *)about->card, device->card);
        about->device_caps = device->capabilities;
        about->capabilities = device->capabilities | V4L2_CAP_DEVICE_CAPS | V4L2_CAP_AUDIO;
        return 0;
    case VIDIOC_S_FMT:
        return set_format(device, argument);
    case VIDIOC_STREAMON:
        note(device, "start %d\n", *(int *)argument);
        return 0;
    case VIDIOC_S_PARM:
        note(device, "time of a frame %u/%u\n", output->timeperframe.numerator, output->timeperframe.denominator);
        return 0;
    }
    return refuse(ENOTTY);
}

int ioctl(int descriptor, unsigned long number, ...) {
    static int (*real)(int, unsigned long, void *);
    struct device device;
    va_list arguments;
    va_start(arguments, number);
    void *argument = va_arg(arguments, void *);
    va_end(arguments);
    /* Python hands the number over as a signed int on some versions. */
    if (find(descriptor, &device)) return answer(&device, number & 0xffffffffUL, argument);
    if (!real) real = (int (*)(int, unsigned long, void *))dlsym(RTLD_NEXT, "ioctl");
    return real(descriptor, number, argument);
}

ssize_t write(int descriptor, const void *data, size_t length) {
    static ssize_t (*real)(int, const void *, size_t);
    struct device device;
    if (find(descriptor, &device) && device.write_error) return refuse(device.write_error);
    if (!real) real = (ssize_t (*)(int, const void *, size_t))dlsym(RTLD_NEXT, "write");
    return real(descriptor, data, length);
}

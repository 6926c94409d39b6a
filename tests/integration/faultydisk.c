/* A disk that fails: while the file FAULTY_DISK_CONTROL holds the name of an error, calls on files below FAULTY_DISK end with
 * it: EIO reads and writes, ENOSPC and EROFS what writes. For LD_PRELOAD. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <unistd.h>

/* The error that a call on this file ends with now, 0 for none; only raw system calls, as the others are ours. */
static int fault(int fd, int reads)
{
    const char *below = getenv("FAULTY_DISK"), *control = getenv("FAULTY_DISK_CONTROL");
    char name[64], path[4096], wanted[16];
    if (!below || !control || fd < 3)
        return 0;
    snprintf(name, sizeof name, "/proc/self/fd/%d", fd);
    ssize_t n = syscall(SYS_readlinkat, AT_FDCWD, name, path, sizeof path - 1);
    if (n < 0)
        return 0;
    path[n] = 0;
    if (strncmp(path, below, strlen(below)))
        return 0;
    int file = syscall(SYS_openat, AT_FDCWD, control, O_RDONLY | O_CLOEXEC, 0);
    if (file < 0)
        return 0;
    n = syscall(SYS_read, file, wanted, sizeof wanted - 1);
    syscall(SYS_close, file);
    wanted[n < 0 ? 0 : n] = 0;
    if (!strcmp(wanted, "EIO"))
        return EIO;
    if (!strcmp(wanted, "EROFS"))
        return reads ? 0 : EROFS;
    return !strcmp(wanted, "ENOSPC") && !reads ? ENOSPC : 0;
}

#define FAULTY(type, name, reads, given, passed)                         \
    type name given                                                      \
    {                                                                    \
        static type(*real) given;                                        \
        if (!real)                                                       \
            real = (type(*) given)dlsym(RTLD_NEXT, #name);               \
        int error = fault(fd, reads);                                    \
        if (error) {                                                     \
            errno = error;                                               \
            return -1;                                                   \
        }                                                                \
        return real passed;                                              \
    }

FAULTY(ssize_t, write, 0, (int fd, const void *from, size_t n), (fd, from, n))
FAULTY(ssize_t, pwrite, 0, (int fd, const void *from, size_t n, off_t at), (fd, from, n, at))
FAULTY(ssize_t, pwrite64, 0, (int fd, const void *from, size_t n, off64_t at), (fd, from, n, at))
FAULTY(ssize_t, writev, 0, (int fd, const struct iovec *from, int n), (fd, from, n))
FAULTY(ssize_t, read, 1, (int fd, void *to, size_t n), (fd, to, n))
FAULTY(ssize_t, pread, 1, (int fd, void *to, size_t n, off_t at), (fd, to, n, at))
FAULTY(ssize_t, pread64, 1, (int fd, void *to, size_t n, off64_t at), (fd, to, n, at))
FAULTY(int, fsync, 1, (int fd), (fd))
FAULTY(int, fdatasync, 1, (int fd), (fd))
FAULTY(int, posix_fallocate, 0, (int fd, off_t from, off_t n), (fd, from, n))

/* SPDX-License-Identifier: MIT */
/*
 * What every stoa function returns.
 *
 *   0          done
 *   negative   -STOA_E*: failed; nothing was changed and every ret_* argument is as it was
 *   positive   STOA_EXISTED, STOA_OWNER_DIED, STOA_TIMED_OUT: done or decided, and the caller must look
 *
 * Functions name the errors that are theirs. Whatever asks the system for something may also give ENOMEM, ELIMIT, EIO and
 * ESYSTEM.
 *
 * A failure also leaves one sentence for people in stoa_error_detail().
 */
#ifndef STOA_ERROR_H
#define STOA_ERROR_H

#ifdef __cplusplus
extern "C" {
#endif

#if defined(STOA_BUILDING) && defined(__GNUC__)
#define STOA_API __attribute__((visibility("default")))
#elif defined(STOA_SHARED) /* for programs that use stoa.dll; they also work without, by a longer way */
#define STOA_API __declspec(dllimport)
#else
#define STOA_API
#endif

/* Positive outcomes. */
#define STOA_EXISTED 1    /* create-or-open: the object was there and has been opened */
#define STOA_OWNER_DIED 2 /* the lock is yours; its last owner died holding it: check what it guards */
#define STOA_TIMED_OUT 3  /* the deadline passed; nothing was taken */
#define STOA_CLOSED 4     /* channel: nobody is left on the other side, and nothing to receive; stream: its end */
#define STOA_OVERRUN 5    /* channel: the message was being overwritten while it was read */

/* Errors. Functions return them negated. */
#define STOA_EINVAL 1        /* an argument is not usable: null, unaligned, unknown flag */
#define STOA_ENAME 2         /* a name that cannot be one: empty, too long, a '/', not UTF-8 */
#define STOA_ENOENT 3        /* nothing has that name */
#define STOA_EEXIST 4        /* something already has that name */
#define STOA_EACCES 5        /* the system refuses this user; the detail names the owner */
#define STOA_ENOMEM 6        /* memory, the file system or a memory limit is full */
#define STOA_ELIMIT 7        /* another limit: descriptors, file size, addresses and mappings, roster slots */
#define STOA_ERANGE 8        /* an offset or length lies outside the reserve */
#define STOA_EFORMAT 9       /* the bytes are not a stoa object, or were damaged */
#define STOA_EVERSION 10     /* a stoa object of a layout this library does not speak */
#define STOA_EKIND 11        /* the name belongs to another kind of object */
#define STOA_ERIGHTS 12      /* this handle was opened without the right that the call needs */
#define STOA_ENOTOWNER 13    /* the caller does not hold the mutex; the channel's end is not, or no longer, its */
#define STOA_EDEADLOCK 14    /* the caller already holds the mutex */
#define STOA_EOVERFLOW 15    /* a semaphore would pass its maximum */
#define STOA_EUNCOMMITTED 16 /* the range is not committed */
#define STOA_EBUSY 17        /* in use in a way that forbids the call, e.g. a seal with a writable map */
#define STOA_ENOTSUP 18      /* this kind of object, kernel or system cannot do it; the detail says which */
#define STOA_EIO 19          /* the device under a file failed */
#define STOA_ECLOSED 20      /* the other end of a socket or stream is gone */
#define STOA_ESYSTEM 21      /* the system failed in a way we do not expect; the detail has its word */
#define STOA_ETRUNCATED 22   /* a stream's writer died, or left, before it had finished: this is not all */

/*
 * The constant's name, e.g. "STOA_ENOMEM", for a value that a stoa function returned; errors also without
 * their sign, where no outcome has the number. Static storage; "unknown" for other numbers. Safe from any thread and in signal handlers.
 */
STOA_API const char *stoa_error_name(int result);

/* A short general sentence for the same value, e.g. "out of memory". Static storage, as above. */
STOA_API const char *stoa_error_text(int result);

/*
 * The sentence about this thread's latest failure, with names, numbers and what to try; "" before the first.
 * Control characters and what is no UTF-8 in what it quotes are written as \xNN.
 * It stays valid until the thread's next failing stoa call. Thread-safe; not for signal handlers.
 */
STOA_API const char *stoa_error_detail(void);

#ifdef __cplusplus
}
#endif
#endif

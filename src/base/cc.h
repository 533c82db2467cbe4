/* SPDX-License-Identifier: MIT */
/* The only place for what differs between compilers and for GNU extensions. Uses nothing. */
#ifndef BASE_CC_H
#define BASE_CC_H

#include <assert.h>
#include <stddef.h>
#include <stdint.h>

#if !defined(__BYTE_ORDER__) || __BYTE_ORDER__ != __ORDER_LITTLE_ENDIAN__ || !defined(__SIZEOF_POINTER__) || \
	__SIZEOF_POINTER__ != 8
#error "stoa needs a little-endian 64-bit machine"
#endif

#define CC_LIKELY(condition) __builtin_expect(!!(condition), 1)
#define CC_UNLIKELY(condition) __builtin_expect(!!(condition), 0)
#define CC_NOINLINE __attribute__((noinline, cold))
#define CC_APART __attribute__((noinline))               /* often called, yet not to be part of who calls it */
#define CC_INLINED inline __attribute__((always_inline)) /* part of who calls it, however long that becomes */
/* The type of an expression, which is not evaluated. */
#define CC_TYPEOF(expression) __typeof__(expression)
/* printf of C99, which stoa also uses where the system's own differs (__USE_MINGW_ANSI_STDIO). */
#if defined(__MINGW32__) && !defined(__clang__)
#define CC_PRINTF(text, first) __attribute__((format(gnu_printf, text, first)))
#else
#define CC_PRINTF(text, first) __attribute__((format(printf, text, first)))
#endif
#define CC_ALIGNED(bytes) __attribute__((aligned(bytes)))
/* A function of few nanoseconds: at the begin of a cache line, so that what else is linked does not move its branches about. */
#define CC_HOT_CODE __attribute__((aligned(64)))
#define CC_CONSTRUCTOR __attribute__((constructor))

/* Does a sanitizer watch this program, the library or not? It has tables in memory that is nobody's by its looks. */
#if defined(__ELF__)
void __asan_init(void) __attribute__((weak));
void __tsan_init(void) __attribute__((weak));
void __msan_init(void) __attribute__((weak));
#define CC_WATCHED (__asan_init || __tsan_init || __msan_init)
#endif

/* Thread-local storage whose address, with ELF, is a constant offset: one instruction, also from a shared library. */
#if defined(__ELF__)
#define CC_THREAD _Thread_local __attribute__((tls_model("initial-exec")))
#else
#define CC_THREAD _Thread_local
#endif

#if defined(__has_attribute)
#if __has_attribute(no_sanitize)
#define CC_NO_SANITIZE_THREAD __attribute__((no_sanitize("thread")))
#endif
#endif
#ifndef CC_NO_SANITIZE_THREAD
#define CC_NO_SANITIZE_THREAD
#endif

/* Keeps the compiler from moving memory accesses across; no instruction. */
#define cc_compiler_barrier() __asm__ volatile("" ::: "memory")

static inline void cc_pause(void)
{
#if defined(__x86_64__)
	__builtin_ia32_pause();
#elif defined(__aarch64__)
	__asm__ volatile("yield");
#endif
}

/* Have the line come, to be read soon. */
static inline void cc_prefetch(const void *place)
{
	__builtin_prefetch(place);
}

/* Take the line from others, to be written soon. GCC knows the instruction only of newer processors; older ones ignore it. */
static inline void cc_prefetch_write(const void *place)
{
#if defined(__x86_64__)
	__asm__ volatile("prefetchw %0" : : "m"(*(const unsigned char *)place));
#else
	__builtin_prefetch(place, 1);
#endif
}

/* Bits of a word: the number of its lowest and of its highest one that is set, which there must be; and how many are. */
static inline unsigned cc_lowest_bit(uint64_t word)
{
	return (unsigned)__builtin_ctzll(word);
}

static inline unsigned cc_highest_bit(uint64_t word)
{
	return 63u - (unsigned)__builtin_clzll(word);
}

static inline unsigned cc_count_bits(uint64_t word)
{
	return (unsigned)__builtin_popcountll(word);
}

/* The halves of the product of two numbers, one upon the other: each bit of both numbers has a part in all bits of it. */
static inline uint64_t cc_multiply_fold(uint64_t a, uint64_t b)
{
	__extension__ typedef unsigned __int128 wide;
	wide product = (wide)a * b;

	return (uint64_t)product ^ (uint64_t)(product >> 64);
}

#define CC_COUNT(array) (sizeof(array) / sizeof((array)[0]))

/* The struct that holds `member` at `pointer`. */
#define cc_container_of(pointer, type, member) ((type *)(void *)((char *)(pointer)-offsetof(type, member)))

#endif

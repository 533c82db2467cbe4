/* SPDX-License-Identifier: MIT */
/*
 * Atomic accesses whose order is in their name: rlx, acq, rel, acq_rel, seq. Nothing else in the tree names a memory order.
 * Each acq/rel/seq use in shared-memory code carries a label and names its partner:
 *     store_rel(...);  R1: publishes the body; pairs with A1 in ring_pop()
 */
#ifndef BASE_ATOMIC_H
#define BASE_ATOMIC_H

#include <stdatomic.h>
#include <stdbool.h>
#include <stdint.h>

#define load_rlx(p) atomic_load_explicit((p), memory_order_relaxed)
#define load_acq(p) atomic_load_explicit((p), memory_order_acquire)
#define load_seq(p) atomic_load_explicit((p), memory_order_seq_cst)
#define store_rlx(p, v) atomic_store_explicit((p), (v), memory_order_relaxed)
#define store_rel(p, v) atomic_store_explicit((p), (v), memory_order_release)
#define store_seq(p, v) atomic_store_explicit((p), (v), memory_order_seq_cst)

/* Between a store and a later load. */
#define fence_seq() atomic_thread_fence(memory_order_seq_cst)
#define fence_acq() atomic_thread_fence(memory_order_acquire)
#define fence_rel() atomic_thread_fence(memory_order_release)

#define swap_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_release)
#define swap_acq_rel(p, v) atomic_exchange_explicit((p), (v), memory_order_acq_rel)

#define add_rlx(p, v) atomic_fetch_add_explicit((p), (v), memory_order_relaxed)
#define add_seq(p, v) atomic_fetch_add_explicit((p), (v), memory_order_seq_cst)
#define sub_acq_rel(p, v) atomic_fetch_sub_explicit((p), (v), memory_order_acq_rel)
#define or_rlx(p, v) atomic_fetch_or_explicit((p), (v), memory_order_relaxed)
#define and_rlx(p, v) atomic_fetch_and_explicit((p), (v), memory_order_relaxed)
#define or_seq(p, v) atomic_fetch_or_explicit((p), (v), memory_order_seq_cst)

/* Compare and swap, strong; *(expected) gets the value found on failure. */
#define cas_rlx(p, expected, desired) \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_relaxed, memory_order_relaxed)
#define cas_acq(p, expected, desired) \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acquire, memory_order_relaxed)
#define cas_rel(p, expected, desired) \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_release, memory_order_relaxed)
#define cas_acq_rel(p, expected, desired) \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_acq_rel, memory_order_acquire)
#define cas_seq(p, expected, desired) \
	atomic_compare_exchange_strong_explicit((p), (expected), (desired), memory_order_seq_cst, memory_order_seq_cst)

#endif

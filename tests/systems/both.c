/* SPDX-License-Identifier: MIT */
/* See both.h. Uses the library's layouts. */
#include <systems/both.h>

#include <base/atomic.h>
#include <base/signal.h>
#include <roster/roster.h>
#include <string.h>
#include <sync/object.h>

#define EXPECT(condition)                  \
	do {                               \
		if (!(condition))          \
			return #condition; \
	} while (0)

int both_open(const char *path, struct stoa_segment **ret_segment)
{
	os_handle file = OS_NO_HANDLE;
	int rc = os_file_open(path, true, &file);

	if (rc == 0)
		rc = stoa_segment_take_descriptor((int)file, 0, NULL, ret_segment);
	if (rc < 0)
		os_handle_close(file);
	return rc;
}

int both_make(const char *path, struct stoa_segment **ret_segment)
{
	static const unsigned char nothing[BOTH_COMMIT];
	struct segment_header header = {.roster_slots = 100, .reserve = BOTH_RESERVE};
	os_handle file = OS_NO_HANDLE;
	int rc;

	header.data_offset = header_data_offset(header.roster_slots);
	rc = header_seal(&header);
	if (rc == 0)
		rc = os_file_prepare(path, &file);
	if (rc == 0)
		rc = os_memory_write(file, 0, &header, sizeof(header));
	if (rc == 0)
		rc = os_memory_write(file, header.data_offset, nothing, sizeof(nothing));
	if (rc == 0)
		rc = os_file_publish(file, path);
	os_handle_close(file);
	return rc == 0 ? both_open(path, ret_segment) : rc;
}

static void list_sizes(const struct stoa_segment *segment, uint64_t sizes[4])
{
	sizes[0] = sizeof(struct segment_header) << 32 | sizeof(struct both);
	sizes[1] = sizeof(struct object) << 32 | (sizeof(struct roster_page) + offsetof(struct roster_page, claims) +
						  offsetof(struct roster_page, relay));
	sizes[2] = (uint64_t)segment->roster_slots << 32 | offsetof(struct roster_page, life);
	sizes[3] = segment->data_offset ^ segment->reserve << 20;
}

static const char *fill(struct stoa_segment *segment, struct both *both)
{
	EXPECT(header_read(segment->memory, &both->header) == 0);
	list_sizes(segment, both->sizes);
	EXPECT(stoa_mutex_init(segment, &both->mutex, 0) == 0);
	EXPECT(stoa_event_init(segment, &both->event, 0) == 0);
	EXPECT(stoa_event_init(segment, &both->manual, STOA_MANUAL | STOA_SIGNALED) == 0);
	EXPECT(stoa_semaphore_init(segment, &both->semaphore, 2, 5) == 0);
	return NULL;
}

const char *both_change(struct stoa_segment *segment, unsigned stage)
{
	struct both *both = both_of(segment);

	if (stage == 1) {
		const char *wrong = fill(segment, both);

		EXPECT(wrong || stoa_mutex_lock(segment, &both->mutex, STOA_TRY) == 0);
		EXPECT(wrong || roster_find(segment, &both->owner) == 0);
		EXPECT(wrong || stoa_event_set(segment, &both->event) == 0);
		EXPECT(wrong || stoa_semaphore_post(segment, &both->semaphore, 2) == 0);
		EXPECT(wrong || stoa_semaphore_wait(segment, &both->semaphore, STOA_TRY) == 0);
		return wrong;
	}
	EXPECT(stoa_mutex_unlock(segment, &both->mutex) == 0);
	EXPECT(stoa_event_wait(segment, &both->event, STOA_TRY) == 0);
	EXPECT(stoa_event_reset(segment, &both->manual) == 0);
	EXPECT(stoa_semaphore_post(segment, &both->semaphore, 2) == 0);
	return NULL;
}

static uint64_t word_of(const void *object)
{
	return load_rlx(&((const struct object *)object)->word);
}

/* Each is what `kind`, `count` and `maximum` say. */
static bool signal_is(const void *place, uint32_t kind, uint64_t count, uint32_t maximum)
{
	const struct object *object = place;
	uint64_t word = word_of(place);

	return load_rlx(&object->kind) == kind && load_rlx(&object->maximum) == maximum &&
	       signal_count(word) == count && !!(word & SIGNAL_AVAILABLE) == (count > 0) &&
	       !(word & (SIGNAL_WAITERS | SIGNAL_CLAIM_MASK));
}

/* The maker's objects refuse us, and stay as they are. */
static const char *check_refused(struct stoa_segment *segment, struct both *both)
{
	uint64_t word = word_of(&both->mutex);
	struct stoa_segment_stat stat;

	EXPECT(stoa_mutex_lock(segment, &both->mutex, STOA_TRY) == -STOA_ENOTSUP);
	EXPECT(strstr(stoa_error_detail(), "another operating system"));
	EXPECT(stoa_mutex_init(segment, &both->mutex, 0) == -STOA_ENOTSUP);
	EXPECT(stoa_event_set(segment, &both->event) == -STOA_ENOTSUP);
	EXPECT(stoa_event_wait(segment, &both->event, STOA_TRY) == -STOA_ENOTSUP);
	EXPECT(stoa_semaphore_post(segment, &both->semaphore, 1) == -STOA_ENOTSUP);
	EXPECT(stoa_segment_stat(segment, &stat) == 0 && stat.roster_alive == 0);
	EXPECT(word == word_of(&both->mutex));
	return NULL;
}

const char *both_check(struct stoa_segment *segment, unsigned stage)
{
	struct both *both = both_of(segment);
	struct segment_header header;
	uint64_t sizes[4], life = 0, owner = word_of(&both->mutex);
	size_t got;

	list_sizes(segment, sizes);
	EXPECT(memcmp(sizes, both->sizes, sizeof(sizes)) == 0);
	EXPECT(header_read(segment->memory, &header) == 0);
	EXPECT(memcmp(&header, &both->header, sizeof(header)) == 0);
	EXPECT(stoa_segment_reserve(segment) == BOTH_RESERVE && stoa_segment_committed(segment) == BOTH_COMMIT);
	EXPECT(stage == 1 ? owner == both->owner : mutex_is_free(owner));
	EXPECT(((const struct object *)(void *)&both->mutex)->kind == OBJECT_MUTEX);
	EXPECT(signal_is(&both->event, OBJECT_EVENT_AUTO, stage == 1, 1));
	EXPECT(signal_is(&both->manual, OBJECT_EVENT_MANUAL, stage == 1, 1));
	EXPECT(signal_is(&both->semaphore, OBJECT_SEMAPHORE, stage == 1 ? 3 : 5, 5));
	EXPECT(os_memory_read(segment->memory, (both->owner & ROSTER_SLOT_MASK) * OS_PAGE + OS_LIFE_OFFSET, &life,
			      sizeof(life), &got) == 0);
	EXPECT(got == sizeof(life) && life >> 32 == both->owner >> 32 && (life & OS_LIFE_ID) && !(life & OS_LIFE_DIED));
	return check_refused(segment, both);
}

void both_count(struct both *both)
{
	for (unsigned i = 0; i < BOTH_ROUNDS; i++) {
		uint64_t seen = load_rlx(&both->swapped);

		add_rlx(&both->added, 1);
		while (!cas_rlx(&both->swapped, &seen, seen + 1))
			;
	}
}

/* ---- at the same time ---- */

static bool reaches(const _Atomic uint64_t *word, uint64_t value)
{
	uint64_t until = stoa_deadline_in(UINT64_C(60000000000));

	while (atomic_load(word) < value) {
		if (stoa_now() > until)
			return false;
		os_yield();
	}
	return true;
}

static unsigned char mark_of(uint64_t length)
{
	return (unsigned char)(length / BOTH_STEP * 7 + 1);
}

const char *both_grow(struct stoa_segment *segment, int (*extend)(struct stoa_segment *segment, uint64_t length))
{
	struct both *both = both_of(segment);

	for (uint64_t length = BOTH_COMMIT + BOTH_STEP; length <= BOTH_RESERVE; length += BOTH_STEP) {
		unsigned char mark = mark_of(length);

		EXPECT(extend(segment, length) == 0);
		EXPECT(stoa_segment_committed(segment) == length);
		EXPECT(os_memory_write(segment->memory, segment->data_offset + length - 1, &mark, 1) == 0);
		atomic_store(&both->grown, length);
		EXPECT(reaches(&both->followed, length));
	}
	return NULL;
}

const char *both_follow(struct stoa_segment *segment)
{
	struct both *both = both_of(segment);

	for (uint64_t length = BOTH_COMMIT + BOTH_STEP; length <= BOTH_RESERVE; length += BOTH_STEP) {
		unsigned char mark = 0;
		size_t got;

		EXPECT(reaches(&both->grown, length));
		EXPECT(stoa_segment_committed(segment) == length);
		EXPECT(os_memory_read(segment->memory, segment->data_offset + length - 1, &mark, 1, &got) == 0);
		EXPECT(got == 1 && mark == mark_of(length));
		atomic_store(&both->followed, length);
	}
	return NULL;
}

const char *both_toil(struct stoa_segment *segment)
{
	struct both *both = both_of(segment);
	struct stoa_waitable all[] = {{segment, &both->event, STOA_WAIT_EVENT, 0},
				      {segment, &both->semaphore, STOA_WAIT_SEMAPHORE, 0}};
	uint64_t until = stoa_deadline_in(UINT64_C(60000000000));

	for (uint64_t i = 1; atomic_load(&both->sights) < BOTH_SIGHTS; i++) {
		EXPECT(stoa_now() < until);
		store_rlx(&both->twins, (i & UINT32_MAX) << 32 | (i & UINT32_MAX));
		EXPECT(stoa_mutex_lock(segment, &both->mutex, STOA_TRY) == 0);
		EXPECT(stoa_event_set(segment, &both->event) == 0);
		EXPECT(stoa_event_set(segment, &both->manual) == 0);
		EXPECT(stoa_wait_all(all, 2, STOA_TRY, NULL) == 0);
		EXPECT(stoa_semaphore_post(segment, &both->semaphore, 1) == 0);
		EXPECT(stoa_event_reset(segment, &both->manual) == 0);
		EXPECT(stoa_mutex_unlock(segment, &both->mutex) == 0);
	}
	return NULL;
}

/* As signal words are at any moment; who claims them can only be the maker. */
static bool may_be(const void *place, uint64_t maximum, uint64_t owner)
{
	uint64_t word = word_of(place), count = signal_count(word), claim = word & SIGNAL_CLAIM_MASK;

	return count <= maximum && !!(word & SIGNAL_AVAILABLE) == (count > 0 && !claim) &&
	       (!claim || claim == (owner & ROSTER_SHORT_MASK)) && !(word & SIGNAL_WAITERS);
}

const char *both_watch(struct stoa_segment *segment)
{
	struct both *both = both_of(segment);
	uint64_t before = load_rlx(&both->twins), until = stoa_deadline_in(UINT64_C(60000000000));

	while (load_rlx(&both->sights) < BOTH_SIGHTS) {
		uint64_t twins = load_rlx(&both->twins), mutex = word_of(&both->mutex);

		EXPECT(stoa_now() < until);
		EXPECT(twins >> 32 == (twins & UINT32_MAX));
		EXPECT(mutex == 0 || mutex == both->owner);
		EXPECT(may_be(&both->event, 1, both->owner) && may_be(&both->manual, 1, both->owner));
		EXPECT(may_be(&both->semaphore, 5, both->owner));
		if (twins != before)
			atomic_fetch_add(&both->sights, 1);
		before = twins;
	}
	return NULL;
}

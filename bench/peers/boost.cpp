// SPDX-License-Identifier: MIT
// Boost.Interprocess's message_queue. See wire.h.
//
// Used well: it copies in and out, and has no other way; all messages have one priority, which it inserts without a search. It waits on its
// condition (send, receive), which was faster for many messages too than trying again and again (try_send, try_receive), as trips without
// sleep do. The name goes as soon as the memory is mapped.
#include <cstdint>
#include <cstdio>
#include <memory>
#include <new>
#include <vector>

#include <boost/interprocess/ipc/message_queue.hpp>

#include <unistd.h>

extern "C" {
#include "../measure.h"
}
#include "wire.h"

namespace ipc = boost::interprocess;

const bool wire_has_threads = false;

namespace {

std::unique_ptr<ipc::message_queue> ways[2];
std::vector<unsigned char> message;

int refuse(const char *what, const std::exception &error)
{
	return wire_refuse(what, error.what());
}

std::size_t messages_of(const wire_plan &plan)
{
	std::size_t count = plan.room / plan.size;
	return count < 4 ? 4 : count;
}

} // namespace

extern "C" int wire_open(const wire_plan *plan)
try {
	message.resize(plan->size);
	for (unsigned i = 0; i < 2; i++) {
		char name[64];
		std::snprintf(name, sizeof(name), "stoa-bench-boost-%d-%u", int(getpid()), i);
		ways[i] = std::make_unique<ipc::message_queue>(ipc::create_only, name, messages_of(*plan), plan->size);
		ipc::message_queue::remove(name);
	}
	return 0;
} catch (const std::exception &error) {
	return refuse("message_queue", error);
}

extern "C" int wire_join(const wire_plan *, unsigned)
{
	return 0;
}

extern "C" int wire_put(const wire_plan *plan, unsigned side, std::uint64_t number)
try {
	measure_fill(message.data(), plan->size, number);
	if (!plan->spin)
		ways[side]->send(message.data(), plan->size, 0);
	else
		while (!ways[side]->try_send(message.data(), plan->size, 0))
			;
	return 0;
} catch (const std::exception &error) {
	return refuse("send", error);
}

extern "C" int wire_take(const wire_plan *plan, unsigned side)
try {
	ipc::message_queue::size_type length;
	unsigned priority;
	if (!plan->spin)
		ways[1 - side]->receive(message.data(), plan->size, length, priority);
	else
		while (!ways[1 - side]->try_receive(message.data(), plan->size, length, priority))
			;
	measure_use(measure_sum(message.data(), plan->size));
	return length == plan->size ? 0 : wire_refuse("receive", "a message of another size");
} catch (const std::exception &error) {
	return refuse("receive", error);
}

/* SPDX-License-Identifier: MIT */
/*
 * ZeroMQ over ipc://. See wire.h.
 *
 * Used well: as its own measurements do (perf/remote_thr.cpp, perf/remote_lat.cpp), PUSH and PULL one way with messages that are made
 * in place (zmq_msg_init_size) and handed over without a copy; for trips a pair, which was faster here than a request and its reply.
 * Its limit of messages on their way is its default of 1000, and 8 of a MiB; more was slower. The address is an abstract one: nothing is left.
 */
#include <errno.h>
#include <stdio.h>
#include <unistd.h>
#include <zmq.h>

#include "../measure.h"
#include "wire.h"

const bool wire_has_threads = true;

static char address[64];
static void *socket_of_side;

static int refuse(const char *what)
{
	return wire_refuse(what, zmq_strerror(zmq_errno()));
}

int wire_open(const struct wire_plan *plan)
{
	(void)plan;
	snprintf(address, sizeof(address), "ipc://@stoa-bench-zmq-%d", (int)getpid());
	return 0;
}

int wire_join(const struct wire_plan *plan, unsigned side)
{
	void *context = zmq_ctx_new();
	int most = plan->size >= 1 << 20 ? 8 : 1000;

	socket_of_side = context ? zmq_socket(context, plan->trip ? ZMQ_PAIR : side ? ZMQ_PULL : ZMQ_PUSH) : NULL;
	if (!socket_of_side)
		return refuse("zmq_socket");
	zmq_setsockopt(socket_of_side, ZMQ_SNDHWM, &most, sizeof(most));
	zmq_setsockopt(socket_of_side, ZMQ_RCVHWM, &most, sizeof(most));
	if (side ? zmq_bind(socket_of_side, address) : zmq_connect(socket_of_side, address))
		return refuse(address);
	return 0;
}

int wire_put(const struct wire_plan *plan, unsigned side, uint64_t number)
{
	zmq_msg_t message;

	(void)side;
	if (zmq_msg_init_size(&message, plan->size))
		return refuse("zmq_msg_init_size");
	measure_fill(zmq_msg_data(&message), plan->size, number);
	while (zmq_msg_send(&message, socket_of_side, 0) < 0)
		if (zmq_errno() != EINTR)
			return refuse("zmq_msg_send");
	return 0;
}

int wire_take(const struct wire_plan *plan, unsigned side)
{
	zmq_msg_t message;

	(void)side;
	zmq_msg_init(&message);
	while (zmq_msg_recv(&message, socket_of_side, 0) < 0)
		if (zmq_errno() != EINTR)
			return refuse("zmq_msg_recv");
	if (zmq_msg_size(&message) != plan->size)
		return wire_refuse("zmq_msg_recv", "a message of another size");
	measure_use(measure_sum(zmq_msg_data(&message), plan->size));
	zmq_msg_close(&message);
	return 0;
}

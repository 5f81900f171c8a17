/* Message passing between the ranks of one job. MPI is initialised only when
 * the program runs under mpirun or srun; otherwise a Comm of one rank does
 * without. MPI appears in comm.c alone. All calls come from the thread that
 * made the Comm.
 *
 * A rank that dies takes the others with it: the launcher ends them, and a
 * launcher that dies itself is missed at once, by the kernel's word. */
#ifndef FRAMEWORK_COMM_H
#define FRAMEWORK_COMM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "framework/status.h"

typedef struct Comm Comm;

Status comm_create(Comm **comm);        /* Collective: all ranks of the launch */
void comm_destroy(Comm *comm);          /* Collective */
int comm_rank(const Comm *comm);        /* 0 for NULL */
int comm_size(const Comm *comm);        /* 1 for NULL */
Status comm_barrier(Comm *comm);                                        /* Collective */
Status comm_broadcast(Comm *comm, void *data, size_t bytes, int root);  /* Collective */
/* Element-wise sum on every rank of `count` 64-bit integers. Collective. */
Status comm_sum_integers(Comm *comm, int64_t *values, int64_t count);
/* `data` is [size, bytes]: each rank has put its own part in its place, and gets everybody's. Collective. */
Status comm_gather(Comm *comm, void *data, size_t bytes);
/* All ranks learn whether any failed: each passes its own status (taken) and
 * gets OK only where all were OK; a rank that was fine gets a STATUS_CHILD
 * naming the first rank that failed. Collective. */
Status comm_agree(Comm *comm, Status own);
/* Point to point, for trees of reductions. Blocking. */
Status comm_send(Comm *comm, const void *data, size_t bytes, int to, int tag);
Status comm_receive(Comm *comm, void *data, size_t bytes, int from, int tag);
/* The same without waiting: the bytes stay the request's until it is tested to be done. At most 2^30 bytes. MPI moves
 * messages along in calls only, so whoever computes meanwhile tests now and then. A `request` that is not active is
 * done. Local. */
typedef struct CommRequest {
    intptr_t handle;
    int64_t bytes; /* due; -1 where the request sends */
    bool active;
} CommRequest;
Status comm_send_begin(Comm *comm, const void *data, size_t bytes, int to, int tag, CommRequest *request);
Status comm_receive_begin(Comm *comm, void *data, size_t bytes, int from, int tag, CommRequest *request);
Status comm_test(CommRequest *request, bool *done);

/* Processor time, in seconds, that the thread which made `comm` has spent on waiting for other ranks, a wait under way
 * included: MPI spins, so a rank that waits for ever looks busy otherwise. From any thread; 0 for NULL and one rank. */
double comm_waited(const Comm *comm);
/* Around a loop that does nothing but comm_test: a wait too. */
void comm_wait_begins(Comm *comm);
void comm_wait_ends(Comm *comm);

/* Ends all ranks at once with that exit code (MPI_Abort). Local. */
void comm_abort(Comm *comm, int exit_code) __attribute__((noreturn));

#endif

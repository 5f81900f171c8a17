#include "framework/comm.h"

#include <limits.h>
#include <mpi.h>
#include <pthread.h>
#include <signal.h>
#include <stdatomic.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/prctl.h>
#include <time.h>
#include <unistd.h>

#include "framework/log.h"
#include "framework/memory.h"

/* MPI counts are ints: larger messages go in pieces of this size. */
enum { PIECE = 1 << 30, MESSAGE_BYTES = 1024 };

struct Comm {
    MPI_Comm handle; /* unused where size is 1 without a launcher */
    int rank, size;
    bool launched; /* under mpirun or srun, so MPI is in use */
    clockid_t clock; /* processor time of the thread that made it */
    _Atomic double waited, since; /* in waits that have ended; start of the one under way, or -1 */
};

static Status mpi_status(int result, const char *action)
{
    if (result == MPI_SUCCESS) return OK;
    char text[MPI_MAX_ERROR_STRING + 1] = "";
    int length = 0;
    if (MPI_Error_string(result, text, &length) != MPI_SUCCESS) length = 0;
    text[length] = '\0';
    return status_error(STATUS_LIBRARY, "MPI cannot %s: %s", action, text);
}

/* Waits ------------------------------------------------------------------------- */

static double processor_time(const Comm *comm)
{
    struct timespec now = {0};
    clock_gettime(comm->clock, &now);
    return (double)now.tv_sec + (double)now.tv_nsec * 1e-9;
}

void comm_wait_begins(Comm *comm)
{
    if (comm_size(comm) > 1) atomic_store(&comm->since, processor_time(comm));
}

void comm_wait_ends(Comm *comm)
{
    if (comm_size(comm) == 1) return;
    double now = processor_time(comm), since = atomic_exchange(&comm->since, -1);
    atomic_store(&comm->waited, atomic_load(&comm->waited) + now - since);
}

double comm_waited(const Comm *comm)
{
    if (comm_size(comm) == 1) return 0;
    double since = atomic_load(&comm->since), waited = atomic_load(&comm->waited);
    return since >= 0 ? waited + processor_time(comm) - since : waited;
}

/* An MPI call that may wait for other ranks: its result as a Status. */
#define WAIT(comm, call, action)                    \
    (comm_wait_begins(comm), end_wait(comm, call, action))

static Status end_wait(Comm *comm, int result, const char *action)
{
    comm_wait_ends(comm);
    return mpi_status(result, action);
}

/* Beginning and end ---------------------------------------------------------------- */

/* What mpirun and srun set in the environment of each rank. */
static bool is_launched(void)
{
    return getenv("OMPI_COMM_WORLD_SIZE") != NULL || getenv("PMIX_RANK") != NULL || getenv("PMI_RANK") != NULL;
}

/* Ranks outlive a launcher that is killed, and would wait for each other for ever, with the job's lock held. */
static Status die_with_launcher(pid_t launcher)
{
    if (prctl(PR_SET_PDEATHSIG, SIGKILL) != 0) return status_error(STATUS_LIBRARY, "cannot watch over the launcher");
    if (getppid() != launcher) return status_error(STATUS_INTERRUPTED, "the launcher of this rank is gone");
    return OK;
}

static Status join_world(Comm *comm)
{
    TRY(die_with_launcher(getppid()));
    /* A waiting rank lets others have its core, which they often share: Open MPI spins otherwise. */
    setenv("OMPI_MCA_mpi_yield_when_idle", "1", 0);
    int initialised = 0, finalised = 0, provided = MPI_THREAD_SINGLE;
    MPI_Initialized(&initialised);
    MPI_Finalized(&finalised);
    if (finalised) return status_error(STATUS_INTERNAL, "MPI was ended already and cannot be started again");
    if (!initialised) {
        TRY(mpi_status(MPI_Init_thread(NULL, NULL, MPI_THREAD_FUNNELED, &provided), "start"));
        if (provided < MPI_THREAD_FUNNELED)
            return status_error(STATUS_LIBRARY, "this MPI does not allow threads beside it");
    }
    MPI_Comm_set_errhandler(MPI_COMM_WORLD, MPI_ERRORS_RETURN);
    TRY(mpi_status(MPI_Comm_dup(MPI_COMM_WORLD, &comm->handle), "make a communicator"));
    MPI_Comm_set_errhandler(comm->handle, MPI_ERRORS_RETURN);
    TRY(mpi_status(MPI_Comm_rank(comm->handle, &comm->rank), "tell the rank"));
    return mpi_status(MPI_Comm_size(comm->handle, &comm->size), "tell the number of ranks");
}

Status comm_create(Comm **comm)
{
    *comm = NULL;
    Comm *made = memory_alloc(sizeof *made);
    if (made == NULL) return status_no_memory(sizeof *made, "communication");
    *made = (Comm){.handle = MPI_COMM_NULL, .size = 1, .launched = is_launched(), .since = -1};
    pthread_getcpuclockid(pthread_self(), &made->clock);
    if (made->launched) {
        Status status = join_world(made);
        if (status != OK) {
            memory_free(made);
            return status;
        }
        log_set_rank(made->rank);
    }
    *comm = made;
    return OK;
}

void comm_destroy(Comm *comm)
{
    if (comm == NULL) return;
    if (comm->launched) {
        MPI_Comm_free(&comm->handle);
        MPI_Finalize();
    }
    memory_free(comm);
}

int comm_rank(const Comm *comm)
{
    return comm != NULL ? comm->rank : 0;
}

int comm_size(const Comm *comm)
{
    return comm != NULL ? comm->size : 1;
}

Status comm_barrier(Comm *comm)
{
    if (comm_size(comm) == 1) return OK;
    return WAIT(comm, MPI_Barrier(comm->handle), "wait for the other ranks");
}

static int piece_of(size_t bytes)
{
    return bytes > PIECE ? PIECE : (int)bytes;
}

Status comm_broadcast(Comm *comm, void *data, size_t bytes, int root)
{
    if (comm_size(comm) == 1) return OK;
    for (size_t done = 0; done < bytes;) {
        int piece = piece_of(bytes - done);
        TRY(WAIT(comm, MPI_Bcast((char *)data + done, piece, MPI_BYTE, root, comm->handle), "broadcast"));
        done += (size_t)piece;
    }
    return OK;
}

Status comm_sum_integers(Comm *comm, int64_t *values, int64_t count)
{
    if (comm_size(comm) == 1) return OK;
    for (int64_t done = 0; done < count;) {
        int piece = piece_of((size_t)(count - done));
        TRY(WAIT(comm, MPI_Allreduce(MPI_IN_PLACE, values + done, piece, MPI_INT64_T, MPI_SUM, comm->handle),
                 "sum over ranks"));
        done += piece;
    }
    return OK;
}

Status comm_gather(Comm *comm, void *data, size_t bytes)
{
    if (comm_size(comm) == 1) return OK;
    if (bytes > PIECE) return status_error(STATUS_INTERNAL, "%zu bytes of a rank cannot be gathered", bytes);
    return WAIT(comm, MPI_Allgather(MPI_IN_PLACE, 0, MPI_DATATYPE_NULL, data, (int)bytes, MPI_BYTE, comm->handle),
                "gather from all ranks");
}

Status comm_agree(Comm *comm, Status own)
{
    if (comm_size(comm) == 1) return own;
    int first = own != OK ? comm->rank : INT_MAX;
    Status status = WAIT(comm, MPI_Allreduce(MPI_IN_PLACE, &first, 1, MPI_INT, MPI_MIN, comm->handle), "agree");
    if (status != OK) return status_first(own, status);
    if (first == INT_MAX) return OK;
    char message[MESSAGE_BYTES] = "";
    snprintf(message, sizeof message, "%s", status_message(own));
    status = comm_broadcast(comm, message, sizeof message, first);
    if (status != OK || own != OK) return status_first(own, status);
    return status_error(STATUS_CHILD, "rank %d failed: %s", first, message);
}

static Status check_peer(const Comm *comm, int peer, int tag)
{
    if (peer < 0 || peer >= comm_size(comm) || peer == comm_rank(comm) || tag < 0)
        return status_error(STATUS_INTERNAL, "rank %d of %d cannot exchange with rank %d, tag %d", comm_rank(comm),
                            comm_size(comm), peer, tag);
    return OK;
}

Status comm_send(Comm *comm, const void *data, size_t bytes, int to, int tag)
{
    TRY(check_peer(comm, to, tag));
    size_t done = 0;
    do { /* an empty message is sent too */
        int piece = piece_of(bytes - done);
        TRY(WAIT(comm, MPI_Send((const char *)data + done, piece, MPI_BYTE, to, tag, comm->handle), "send"));
        done += (size_t)piece;
    } while (done < bytes);
    return OK;
}

Status comm_receive(Comm *comm, void *data, size_t bytes, int from, int tag)
{
    TRY(check_peer(comm, from, tag));
    size_t done = 0;
    do {
        int piece = piece_of(bytes - done), got = 0;
        MPI_Status received;
        TRY(WAIT(comm, MPI_Recv((char *)data + done, piece, MPI_BYTE, from, tag, comm->handle, &received), "receive"));
        MPI_Get_count(&received, MPI_BYTE, &got);
        if (got != piece)
            return status_error(STATUS_INTERNAL, "rank %d sent %d bytes where %d were due", from, got, piece);
        done += (size_t)piece;
    } while (done < bytes);
    return OK;
}

/* MPI's requests are pointers or integers, by implementation. */
_Static_assert(sizeof(MPI_Request) <= sizeof(intptr_t), "a request fits in its box");

static Status begin(MPI_Request handle, int result, const char *action, int64_t bytes, CommRequest *request)
{
    TRY(mpi_status(result, action));
    *request = (CommRequest){.bytes = bytes, .active = true};
    memcpy(&request->handle, &handle, sizeof handle);
    return OK;
}

static Status check_piece(size_t bytes)
{
    return bytes <= PIECE ? OK : status_error(STATUS_INTERNAL, "a message of %zu bytes is too long", bytes);
}

Status comm_send_begin(Comm *comm, const void *data, size_t bytes, int to, int tag, CommRequest *request)
{
    MPI_Request handle = MPI_REQUEST_NULL;
    TRY(check_peer(comm, to, tag));
    TRY(check_piece(bytes));
    int result = MPI_Isend(data, (int)bytes, MPI_BYTE, to, tag, comm->handle, &handle);
    return begin(handle, result, "send", -1, request);
}

Status comm_receive_begin(Comm *comm, void *data, size_t bytes, int from, int tag, CommRequest *request)
{
    MPI_Request handle = MPI_REQUEST_NULL;
    TRY(check_peer(comm, from, tag));
    TRY(check_piece(bytes));
    int result = MPI_Irecv(data, (int)bytes, MPI_BYTE, from, tag, comm->handle, &handle);
    return begin(handle, result, "receive", (int64_t)bytes, request);
}

Status comm_test(CommRequest *request, bool *done)
{
    *done = !request->active;
    if (*done) return OK;
    MPI_Request handle;
    MPI_Status about;
    int finished = 0, got = 0;
    memcpy(&handle, &request->handle, sizeof handle);
    TRY(mpi_status(MPI_Test(&handle, &finished, &about), request->bytes < 0 ? "send" : "receive"));
    if (!finished) return OK;
    request->active = false;
    *done = true;
    if (request->bytes < 0) return OK;
    MPI_Get_count(&about, MPI_BYTE, &got);
    if (got == request->bytes) return OK;
    return status_error(STATUS_INTERNAL, "rank %d sent %d bytes where %lld were due", about.MPI_SOURCE, got,
                        (long long)request->bytes);
}

void comm_abort(Comm *comm, int exit_code)
{
    if (comm != NULL && comm->launched) MPI_Abort(comm->handle, exit_code);
    _exit(exit_code);
}

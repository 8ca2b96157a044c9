namespace CudaKernels.Tests;

/// <summary>
/// The part of NCCL's interface that is used here, for ranks that are threads of one process and have their memory on the host: what the numbers and the order
/// of arguments mean is written down a second time. Sums are in rank order; streams are ignored, as every call is done when it returns.
/// </summary>
internal static class NcclStub
{
    public const string Source = """
        #include <math.h>
        #include <pthread.h>
        #include <stdlib.h>
        #include <string.h>
        #include <unistd.h>

        typedef struct { char bytes[128]; } Id;
        typedef struct { int key, size, here, round, aborted; const char* values[64]; } Group;
        typedef struct { Group* group; int rank; } Member;
        enum { ok = 0, invalidArgument = 4, remoteError = 6, uint8 = 1, float32 = 7, sum = 0, max = 2 };

        static Group groups[1000];
        static int keys, used;
        static pthread_mutex_t gate = PTHREAD_MUTEX_INITIALIZER;
        static pthread_cond_t change = PTHREAD_COND_INITIALIZER;

        static int meet(Group* g) {
            pthread_mutex_lock(&gate);
            int round = g->round;
            if (++g->here == g->size) { g->here = 0; g->round++; pthread_cond_broadcast(&change); }
            while (g->round == round && !g->aborted) pthread_cond_wait(&change, &gate);
            int result = g->aborted ? remoteError : ok;
            pthread_mutex_unlock(&gate);
            return result;
        }

        int ncclGetVersion(int* version) { *version = 22705; return ok; }
        const char* ncclGetErrorString(int error) { return error == invalidArgument ? "invalid argument" : "remote error"; }

        int ncclGetUniqueId(Id* id) {
            memset(id, 0x5A, sizeof *id);
            pthread_mutex_lock(&gate);
            int key = ++keys;
            memcpy(id->bytes + 124, &key, 4);
            pthread_mutex_unlock(&gate);
            return ok;
        }

        int ncclCommInitRank(Member** member, int size, Id id, int rank) {
            int key, i;
            memcpy(&key, id.bytes + 124, 4);
            for (i = 0; i < 124; i++)
                if (id.bytes[i] != 0x5A) return invalidArgument;
            if (rank < 0 || rank >= size || size > 64) return invalidArgument;
            pthread_mutex_lock(&gate);
            for (i = 0; i < used && groups[i].key != key; i++) ;
            if (i == used) {
                groups[used].key = key;
                groups[used++].size = size;
            }
            pthread_mutex_unlock(&gate);
            *member = malloc(sizeof(Member));
            **member = (Member){ &groups[i], rank };
            return groups[i].size == size ? meet(&groups[i]) : invalidArgument;
        }

        int ncclCommDestroy(Member* member) { free(member); return ok; }

        int ncclCommAbort(Member* member) {
            pthread_mutex_lock(&gate);
            member->group->aborted = 1;
            pthread_cond_broadcast(&change);
            pthread_mutex_unlock(&gate);
            usleep(50000); /* the other ranks' calls return before this one */
            return ok; /* the memory stays: a call may still be under way */
        }

        static int show(Member* m, const void* values) { m->group->values[m->rank] = values; return meet(m->group); }

        static int combine(const void* send, void* receive, size_t count, int type, int op, int root, Member* m) {
            if (type != float32 || (op != sum && op != max)) return invalidArgument;
            if (show(m, send)) return remoteError;
            float* y = malloc(count * 4 + 1);
            for (size_t i = 0; i < count; i++) {
                y[i] = ((const float*)m->group->values[0])[i];
                for (int r = 1; r < m->group->size; r++) {
                    float x = ((const float*)m->group->values[r])[i];
                    y[i] = op == sum ? y[i] + x : y[i] != y[i] || x < y[i] || (x == y[i] && signbit(x)) ? y[i] : x;
                }
            }
            meet(m->group);
            if (root < 0 || root == m->rank) memcpy(receive, y, count * 4);
            free(y);
            return meet(m->group);
        }

        int ncclAllReduce(const void* send, void* receive, size_t count, int type, int op, Member* m, void* stream) { return combine(send, receive, count, type, op, -1, m); }
        int ncclReduce(const void* send, void* receive, size_t count, int type, int op, int root, Member* m, void* stream) { return combine(send, receive, count, type, op, root, m); }

        int ncclBroadcast(const void* send, void* receive, size_t count, int type, int root, Member* m, void* stream) {
            if (type != uint8) return invalidArgument;
            if (show(m, send)) return remoteError;
            if (m->rank != root) memcpy(receive, m->group->values[root], count);
            return meet(m->group);
        }

        int ncclAllGather(const void* send, void* receive, size_t count, int type, Member* m, void* stream) {
            if (type != uint8) return invalidArgument;
            if (show(m, send)) return remoteError;
            for (int r = 0; r < m->group->size; r++) memcpy((char*)receive + r * count, m->group->values[r], count);
            return meet(m->group);
        }
        """;
}

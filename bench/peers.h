/*
 * What a user might take instead of keybroker and that is a server: redis-server and memcached,
 * each an instance of the bench's own on a private Unix socket, without TCP, without persistence.
 * They start when a section first asks for them and live on CPU_WORKING. A janitor process ends
 * them and removes their directory however the bench ends; the servers of the machine, if it has
 * any, are not touched.
 */
#ifndef BENCH_PEERS_H
#define BENCH_PEERS_H

/* The socket's path, at which the server answers. NULL if it is not installed, or the bench was
 * built without its client library: *ret_why is then a sentence for result_skip. */
const char *peers_redis(const char **ret_why);
const char *peers_memcached(const char **ret_why);

/* Move the Redis that runs to this processor, or to CPU_ANY. */
void peers_place_redis(int cpu);

/* Ends what was started; asking again starts anew. */
void peers_stop(void);

#endif

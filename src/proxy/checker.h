/* The threads behind struct dp_password_checker. One pool for all workers: a short queue, threads that are started when
 * the first password comes, and a memory of answers, so that what one worker has found out costs the others nothing. */
#pragma once
#include "net/loop.h"
#include "plugin/passwords.h"

struct dp_checker_pool;
/* Main thread. */
struct dp_checker_pool *dp_checker_pool_new(unsigned num_threads);
/* Main thread, after the last checker is gone; waits for the threads. NULL is fine. */
void dp_checker_pool_free(struct dp_checker_pool *p);

/* A worker's access to it; `done` comes on this loop's thread. */
struct dp_password_checker *dp_checker_new(struct dp_checker_pool *p, struct sp_loop *loop);
/* After every check has ended or was cancelled, and before the loop goes. NULL is fine. */
void dp_checker_free(struct dp_password_checker *c);

/* Where CRLs are read, once for all workers: a large one on a thread of its own, a small one in place. What was read is
 * immutable and handed to every worker's memory by its loop, so no worker waits for another, or for a lock that is held
 * while a CRL is read. */
#pragma once
#include "net/loop.h"
#include "plugin/revocation.h"

struct dp_crl_shelf; /* one in a process; any thread */
struct dp_crl_shelf *dp_crl_shelf_new(void);
void dp_crl_shelf_free(struct dp_crl_shelf *s); /* after all desks are closed; NULL is fine */

/* A worker's place at the shelf. The reader is what its plugins use. */
struct dp_crl_desk;
struct dp_crl_desk *dp_crl_desk_new(struct dp_crl_shelf *s, struct sp_loop *loop,
                                    struct dp_revocation_counters *counters);
struct dp_crl_reader *dp_crl_desk_reader(struct dp_crl_desk *d);
/* What was read is kept there from now on. Before the loop runs. */
void dp_crl_desk_open(struct dp_crl_desk *d, struct dp_revocations *memory);
/* Nothing is posted to the loop any more. Before its last turn, after its thread has ended. */
void dp_crl_desk_close(struct dp_crl_desk *d);
void dp_crl_desk_free(struct dp_crl_desk *d); /* closed, and after the loop's last turn; NULL is fine */

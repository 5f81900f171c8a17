/* Between the files with SQL: ledger.c, which writes and reads what commands
 * ask, and ledger_query.c, which reads what the dashboard shows. */
#ifndef JOBS_LEDGER_PRIVATE_H
#define JOBS_LEDGER_PRIVATE_H

#include <sqlite3.h>

#include "jobs/ledger.h"

sqlite3 *ledger_database(Ledger *ledger);
/* A result of SQLite as a Status that names the ledger's file. */
Status ledger_check(const Ledger *ledger, int result);

#endif

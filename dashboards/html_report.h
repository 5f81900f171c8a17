/* A study as one HTML file: the dashboard's page with its answers in it. It
 * is opened from disk and asks nobody for anything. */
#ifndef DASHBOARDS_HTML_REPORT_H
#define DASHBOARDS_HTML_REPORT_H

#include <stdio.h>

#include "framework/status.h"

/* Bounds of what a report holds of each kind; what is over is left out, and the page says so where it would be shown. */
#define HTML_REPORT_CURVE_BYTES (12u << 20)
#define HTML_REPORT_JOB_BYTES (12u << 20)     /* attempts, configs, ends of logs */
#define HTML_REPORT_CLASS_BYTES (8u << 20)    /* scores and relations of classes */
#define HTML_REPORT_PICTURE_BYTES (24u << 20)
#define HTML_REPORT_BASELINES 40              /* groups that others can be compared with */

/* STATUS_NOT_FOUND where the ledger of `work` has no such study, or where the program has no page. Of a study that runs,
 * what is there by now. */
Status html_report_print(const char *work, const char *study, FILE *out);

#endif

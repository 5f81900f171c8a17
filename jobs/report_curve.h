/* The trade-off between seen and unseen classes of every group of a study: the points that `calibration.curve` has
 * evaluate keep in metrics.json, mean and 95 % interval over seeds. A report holds the area under them
 * (panoptic.pq.ausuc, semantic.miou.ausuc); this is the curve itself. */
#ifndef JOBS_REPORT_CURVE_H
#define JOBS_REPORT_CURVE_H

#include <stdio.h>

#include "jobs/plan.h"
#include "jobs/report.h"

/* REPORT_TABLE in percent, REPORT_CSV in fractions; others are STATUS_USAGE. A point a line: group, the bias subtracted
 * from seen logits (-inf and inf where only seen or only unseen classes compete), how many seeds, the values.
 * STATUS_NOT_FOUND where no finished trial has a curve, STATUS_INVALID where trials of a group have other biases.
 * `plan` covers the evaluate stage. */
Status report_print_curve(const Plan *plan, ReportFormat format, FILE *out);

#endif

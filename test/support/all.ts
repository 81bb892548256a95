/**
 * @file Whether tests that add minutes are asked for. `npm test` keeps under five minutes on two cores; continuous
 * integration sets COHORT_ALL=1 and leaves nothing out.
 */
export const all = Boolean(process.env["COHORT_ALL"]);
export const NOT_ASKED = "COHORT_ALL=1 asks for it";

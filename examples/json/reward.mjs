import { jsonFormat } from "cohort/rewards";

/** 1 for JSON that the row's schema accepts (a list of so many whole numbers), 0.2 for other JSON, 0 for what is none. */
export default jsonFormat({ schema: "schema" });

/** Half for each bracket in its place: a slope that leads to JSON. */
export const brackets = ({ completion }) => 0.5 * completion.startsWith("[") + 0.5 * completion.endsWith("]");

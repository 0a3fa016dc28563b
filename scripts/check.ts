/** `npm run check`: the quick loop. Types, lint with the import arrows, format, unit and property tests. */
import { conclude, quietSteps, runAll, unitTests } from './check-steps.ts'

conclude([...(await runAll(quietSteps, true)), ...(await runAll([unitTests]))])

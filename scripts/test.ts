/** `npm test`: everything. What `npm run check` does, then real browsers. */
import { browserTests, conclude, quietSteps, runAll, unitTests } from './check-steps.ts'

conclude([...(await runAll(quietSteps, true)), ...(await runAll([unitTests, browserTests]))])

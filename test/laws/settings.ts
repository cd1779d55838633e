/**
 * How long the laws run, and with which numbers.
 *
 *   WEFT_RUNS=0.1 npx vitest run test/laws     a tenth of the programs
 *   WEFT_SEED=1234 npx vitest run test/laws    the programs of an earlier run, whose seed it has printed
 */
import fc from "fast-check"

export const seed = Number(process.env.WEFT_SEED ?? (Date.now() ^ (process.pid << 8)) & 0x7fffffff)

export const runs = (normal: number): number => Math.max(1, Math.round(normal * Number(process.env.WEFT_RUNS ?? 1)))

/** Milliseconds that a test may take, on a machine several times slower and in use: more programs, more time. */
export const patience = 900_000 * Math.max(1, Number(process.env.WEFT_RUNS ?? 1))

/** Milliseconds after which what is found has to be small enough. */
const shrinking = 30_000

/** Checks a property on random values; a failure is shrunk and printed with the seed. */
export function law<T>(
  name: string,
  arbitrary: fc.Arbitrary<T>,
  count: number,
  holds: (value: T) => void,
  describe: (value: T) => string = () => "",
): void {
  console.log(`${name}: ${runs(count)} programs, WEFT_SEED=${seed}`)
  const property = fc.property(arbitrary, holds)
  const found = fc.check(property, { seed, numRuns: runs(count), endOnFailure: true })
  if (!found.failed) return
  const details = fc.check(property, { seed, path: found.counterexamplePath!, interruptAfterTimeLimit: shrinking })
  const [smallest] = details.counterexample ?? found.counterexample ?? []
  const error = details.errorInstance ?? found.errorInstance
  const cause = error instanceof Error ? (error.stack ?? error.message) : String(error)
  throw new Error(
    `${name} fails at program ${found.numRuns} of seed ${seed}, shrunk ${details.numShrinks} times\n${smallest === undefined ? "" : describe(smallest)}\n${JSON.stringify(smallest)}\n${cause}`,
  )
}

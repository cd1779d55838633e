/**
 * How long the laws run, and with which numbers.
 *
 *   WEFT_RUNS=0.1 npx vitest run test/laws     a tenth of the programs that a law names; three fifths where nothing is said
 *   WEFT_SEED=1234 npx vitest run test/laws    the programs of an earlier run, whose seed it has printed
 */
import fc from "fast-check"

/** `support/run.ts` draws one for all processes of a run. */
export const seed = Number(process.env.WEFT_SEED ?? Date.now() & 0x7fffffff)

/** Whether everything is asked for, however long it takes: `npm run test:long`. */
export const long = process.env.WEFT_LONG === "1"

/** Of the programs that a law names, so much is drawn: `npm test` has five minutes, and other seeds each time. */
const share = Number(process.env.WEFT_RUNS ?? 0.6)

export const runs = (normal: number): number => Math.max(1, Math.round(normal * share))

/** Milliseconds that a test may take, on a machine several times slower and in use: more programs, more time. */
export const patience = 900_000 * Math.max(1, share)

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
  const { counterexample, errorInstance: error } = found
  const [value] = counterexample!
  broken(name, property, { program: found.numRuns, path: found.counterexamplePath!, value, error }, describe)
}

/** Shrinks what a property failed on, and throws what is left of it. */
export function broken<T>(
  name: string,
  property: fc.IProperty<[T]>,
  first: { readonly program: number; readonly path: string; readonly value: T; readonly error: unknown },
  describe: (value: T) => string,
): never {
  const details = fc.check(property, { seed, path: first.path, interruptAfterTimeLimit: shrinking })
  const [smallest] = details.counterexample ?? [first.value]
  const error = details.errorInstance ?? first.error
  const cause = error instanceof Error ? (error.stack ?? error.message) : String(error)
  throw new Error(
    `${name} fails at program ${first.program} of seed ${seed}, shrunk ${details.numShrinks} times\n${describe(smallest)}\n${JSON.stringify(smallest)}\n${cause}`,
  )
}

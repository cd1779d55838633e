/**
 * Programs drawn once for a run and shared by the laws: what is made of each of them is made once, for all levels that look at it.
 *
 *   const pool = poolOf(recipes(), 100, (recipe) => buildProgram(recipe))
 *   pool.law("plan", (program) => checkPlan(program, "wasm"))       each program in the table in which it was made
 *   pool.hunt("plans", "stale slot", (program) => …)                programs until a planted fault is seen
 */
import fc from "fast-check"
import { sameTable, withTable } from "../../compiler/ir/expression.js"
import { drawsOf, hunt } from "./hunt.js"
import { broken, runs, seed } from "./settings.js"

export interface Pool<Case, Made> {
  /** Checks what holds of the first `count` cases, all when left out; a failure is shrunk and printed with the seed. */
  readonly law: (name: string, holds: (made: Made) => void, describe?: (c: Case) => string, count?: number) => void
  /** As `hunt` does, with what is made of a case. */
  readonly hunt: (law: string, fault: string, see: (made: Made, n: number) => boolean | undefined) => void
}

/** @param count cases of a normal run; `make` is called inside of the table of its case */
export function poolOf<Case, Made>(
  arbitrary: fc.Arbitrary<Case>,
  count: number,
  make: (c: Case) => Made,
): Pool<Case, Made> {
  const draw = drawsOf(arbitrary)
  const known = new Map<number, <T>(body: (made: Made) => T) => T>()

  /** Runs `body` on what is made of the n-th case, in its table. */
  const within = <T>(n: number, body: (made: Made) => T): T => {
    let enter = known.get(n)
    if (enter === undefined) {
      enter = withTable(() => {
        const [again, made] = [sameTable(), make(draw(n))]
        return (b) => again(() => b(made))
      })
      known.set(n, enter)
    }
    return enter(body)
  }

  return {
    law(name, holds, describe = () => "", some = count) {
      console.log(`${name}: ${runs(some)} programs, WEFT_SEED=${seed}`)
      for (let n = 0; n < runs(some); n++) {
        try {
          within(n, holds)
        } catch (error) {
          const alone = fc.property(arbitrary, (c) => withTable(() => holds(make(c))))
          broken(name, alone, { program: n + 1, path: `${n}`, value: draw(n), error }, describe)
        }
      }
    },
    hunt: (law, fault, see) => hunt(law, fault, draw, (_, n) => within(n, (made) => see(made, n))),
  }
}

/**
 * Choices. With vector conditions both sides are computed and blended; with a scalar condition a side that reads memory is computed only when it is taken,
 * since its address may be out of bounds otherwise.
 *
 *   select(i < n, x[i], 0)   →   i < n; if { f32.load } else { f32.const 0 }
 */
import { memoized } from "../../ir/memoized.js"
import type { Expression } from "../../ir/nodes.js"
import { emittedOperands } from "./arrays.js"
import type { Emission } from "./emission.js"
import { readsMemory } from "./lower.js"
import { typeOf } from "./values.js"

/** Values computed in an arm are not known after it. */
export function arm(e: Emission, x: Expression, p: number): void {
  e.arms.depth++
  e.values.within("structure", () => e.part(x, p))
  e.arms.depth--
}

/** Arms in arms repeat what they share; deeper ones are evaluated always. */
const deepestArms = 8

/** Whether computing a value reads memory that has not been read for a known value. */
export function readsAnew(e: Emission, root: Expression): boolean {
  const visit: (x: Expression) => boolean = memoized((x) => {
    if (!readsMemory(x) || e.values.find(x, 0) !== undefined) return false
    return x.kind === "fetch" || emittedOperands(x, e.places).some(visit)
  })
  return e.arms.depth < deepestArms && visit(root)
}

export function select(e: Emission, [given, a, b]: readonly Expression[], width: number, p: number): void {
  const { code } = e
  const condition = given!.kind === "splat" ? given!.of : given!
  if (condition.width > 1) {
    for (const x of [a!, b!, condition]) e.part(x, p)
    code.op("v128.bitselect")
    return
  }
  if (!readsMemory(a!) && !readsMemory(b!)) {
    e.part(a!, p)
    e.part(b!, p)
    e.part(condition)
    code.op("select")
    return
  }
  const chosen = e.values.local("i32")
  e.part(condition)
  code.set(chosen)
  if (readsAnew(e, a!) || readsAnew(e, b!)) {
    code.get(chosen).if(typeOf(a!.dtype, width))
    arm(e, a!, p)
    code.else()
    arm(e, b!, p)
    code.end()
  } else {
    e.part(a!, p)
    e.part(b!, p)
    code.get(chosen).op("select")
  }
}

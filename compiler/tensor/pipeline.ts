/**
 * The passes over tensor programs, in their order. Each keeps what the program means; `name` is what `weft explain` calls its result.
 */

import type { GatherLimits } from "../ir/machine.js"
import type { Tensor, Unit } from "../ir/tensor.js"
import { groupGathers } from "./group-gathers.js"
import { defaultHoistLimits, hoist } from "./hoist.js"
import { defaultOnlineLimits, type OnlineUnits, online } from "./online.js"
import { ownOutputs } from "./own-outputs.js"
import { blockPrefixes, defaultPrefixLimits } from "./prefixes.js"
import type { Units } from "./rewrite.js"
import { scaleRows } from "./scaled-rows.js"
import { simplify } from "./simplify.js"
import { unpack } from "./unpack.js"

export interface TensorPass {
  readonly name: string
  /** `outputs`: how many of the results are outputs; the others are updates of states. */
  readonly run: (results: readonly Tensor[], outputs: number) => readonly Tensor[]
}

export interface TensorPassOptions {
  /** Whether folds that wait for one another along an axis become one. */
  readonly online: boolean
  /** When rows are grouped by what data choose for them; never when left out. */
  readonly gather?: GatherLimits | undefined
  /**
   * Whether factors that several products share stay with what these read: where that may be narrowed to f16 they bring it into the range; and with
   * precision `exact` numbers beyond f32 come up where the program has them. Sums of x overflow where those of x · 0 are 0.
   */
  readonly keepFactors: boolean
  /** Whether rows of products with what is stored in f16 are brought into its range, for units that multiply such; they are not when left out. */
  readonly scaledRows?: boolean
  /** Whether rows of products with weights in formats are rounded to integers; they are not when left out. */
  readonly integers?: boolean
}

/** The passes for the entries of one compilation: units that entries share are rewritten once. */
export function tensorPasses({
  online: joins,
  gather,
  keepFactors,
  scaledRows = false,
  integers = false,
}: TensorPassOptions): readonly TensorPass[] {
  const simplified = new Map<Tensor | Unit, Tensor | Unit>()
  const hoisted: Units = new Map()
  const joined: OnlineUnits = { matched: new Map(), joined: new Map() }
  const grouped: Units = new Map()
  const prefixed: Units = new Map()
  const scaled: Units = new Map()
  const unpacked: Units = new Map()
  const factors = keepFactors ? { products: Number.POSITIVE_INFINITY } : defaultHoistLimits
  const when = (condition: boolean, ...passes: readonly TensorPass[]) => (condition ? passes : [])
  return [
    { name: "simplify", run: (results) => simplify(results, simplified) },
    ...when(
      joins,
      { name: "hoist", run: (results) => hoist(results, hoisted, factors) },
      { name: "online", run: (results) => online(results, defaultOnlineLimits, joined) },
    ),
    {
      name: "outputs",
      run: (results, outputs) => [...ownOutputs(results.slice(0, outputs)), ...results.slice(outputs)],
    },
    ...when(gather !== undefined, { name: "gather", run: (results) => groupGathers(results, gather, grouped) }),
    { name: "prefixes", run: (results) => blockPrefixes(results, defaultPrefixLimits, prefixed) },
    ...when(scaledRows, { name: "scaled-rows", run: (results) => scaleRows(results, scaled) }),
    { name: "unpack", run: (results) => unpack(results, unpacked, integers) },
  ]
}

/** Results of an online fold by matrix units: each row's registers are stored where they lie, neighbours along a row together. */
import { add, fetch, literal, splat, substitute, variable } from "../../ir/expression.js"
import type { Statement } from "../../ir/loop.js"
import type { Expression, Reduce } from "../../ir/nodes.js"
import type { Build } from "../block.js"
import { firstPlaces } from "../iterations.js"
import type { Lowerer, Scope } from "../lowerer.js"
import { type Copies, emitStores, guarded } from "../store-copies.js"
import { scansAsReductions } from "../values.js"
import type { OnlineBlock } from "./online-block.js"
import { eachRegister, type HeldRow } from "./online-rows.js"
import { inPairs, type Place, placeAt } from "./places.js"

interface Results {
  readonly block: OnlineBlock
  readonly rows: readonly HeldRow[]
  /** Registers of each operand's results. */
  readonly results: readonly string[]
}

export function emitOnlineResults(
  { block, rows, results }: Results,
  scope: Scope,
  lowerer: Lowerer,
  parts: Build,
): void {
  const { of, columns, fixed } = block
  const lane = lowerer.fresh("lane")
  for (const row of rows) {
    const down = placeAt(block.rows, row.place)
    const rowOut: Statement[] = []
    eachRegister(block.results, row, { ...scope, out: rowOut }, lowerer, (registers, inside) => {
      const store = (at: Place, vector: Copies["vector"], register: Expression) => {
        const copy = { at: new Map([...fixed, ...down.at, ...at.at]), inside: literal(1, "bool") }
        const copies: Copies = { copies: [copy], vector }
        const width = vector?.width ?? 1
        const channels = of.channels.map((c, i) =>
          c.kind === "sum" ? splat(row.sums[i]!, width) : fetch(results[c.operand]!, register, "f32", width),
        )
        const whole = scansAsReductions(substitute(of.fold, copy.at)) as Reduce
        const solved = new Map(inside.solved).set(whole, [...row.pivots.map((p) => splat(p, width)), ...channels])
        const out: Statement[] = []
        for (const s of of.stores)
          emitStores(s, s === of.stores[0] ? copies : firstPlaces(copies, s), { ...inside, out, solved }, lowerer)
        inside.out.push(...guarded(at.inside, out))
      }
      const [first] = registers
      if (registers.length === 2 && inPairs(of, columns.axes, parts)) {
        const at = placeAt(columns, first!.column)
        const last = columns.axes.at(-1)!.axis.name
        const shifted = new Map(at.at).set(last, add(at.at.get(last)!, variable(lane)))
        store({ ...at, at: shifted }, { name: lane, base: literal(0), width: 2 }, first!.register)
      } else for (const { register, column } of registers) store(placeAt(columns, column), undefined, register)
    })
    scope.out.push(...guarded(down.inside, rowOut))
  }
}

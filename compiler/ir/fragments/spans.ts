/**
 * Which stretches of arrays the lanes of a group touch together.
 *
 *   fill f[8] = x[o] stride 64, 4 by 1024      8 · 4 elements of f for each lane; of x 3 · 1024 + 15 · 64 + 16 from o on
 */
import { literal } from "../expression.js"
import { isTile, type OperandName, type Place, type StatementOf, type Tile } from "../loop.js"
import type { Expression } from "../nodes.js"
import { type Atom, atoms, fragmentSize, shapeOf } from "./atoms.js"

/** `strides` · `stride` + `rest` elements. */
export interface Span {
  readonly stride: Expression
  readonly strides: number
  readonly rest: number
}

export interface Spanned {
  readonly place: Place
  readonly span: Span
}

/** What a statement touches; nothing of an atom that there is not. */
export function spansOf(s: StatementOf<"multiply" | "fill" | "drain">): readonly Spanned[] {
  const atom = atoms.get(s.atom)
  if (atom === undefined) return []
  if (s.kind === "multiply")
    return (["c", "a", "b"] as const).map((name) => {
      const place: Place | Tile = s[name]
      const span = isTile(place)
        ? tileSpan(atom, name, literal(place.stride), place.transposed, beforeLast(atom, name, place))
        : fragments(fragmentSize(atom, name))
      return { place, span }
    })
  const [name, count, step] = s.kind === "fill" ? [s.operand, s.count, s.step] : (["c", 1, 0] as const)
  const held = { place: s.kind === "fill" ? s.to : s.from, span: fragments(count * fragmentSize(atom, name)) }
  const tile = tileSpan(atom, name, s.stride, s.transposed, (count - 1) * step)
  return [held, { place: s.kind === "fill" ? s.from : s.to, span: tile }]
}

const fragments = (rest: number): Span => ({ stride: literal(0), strides: 0, rest })

/** What the panels of a tile add to what it reaches over. */
function beforeLast(atom: Atom, name: OperandName, { stride, transposed, panel }: Tile): number {
  if (panel === undefined) return 0
  const { rows, columns } = shapeOf(atom, name)
  const panels = Math.ceil((transposed ? rows : columns) / stride)
  return (panels - 1) * (panel - stride)
}

function tileSpan(atom: Atom, name: OperandName, stride: Expression, transposed: boolean, before: number): Span {
  const { rows, columns } = shapeOf(atom, name)
  const [along, across] = transposed ? [rows, columns] : [columns, rows]
  return { stride, strides: across - 1, rest: before + along }
}

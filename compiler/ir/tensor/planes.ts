/**
 * The inputs that stand for one that is stored in a format.
 *
 *   w [out, k] in q4_0   →   w.codes: u32 [out, k / 8]   w.scale: f16 [out, k / 32]
 */
import type { Plane } from "../../../runtime/weights/formats/format.js"
import { storageOf } from "../../../runtime/weights/formats/layout.js"
import { literalExtent } from "../dim.js"
import { literal } from "../expression.js"
import * as ir from "../tensor.js"
import { fieldsOfWord, type Packed } from "./formats.js"

/** The inputs that hold what an input holds: its planes, or itself. */
export function planesOf(t: ir.Input): readonly ir.Input[] {
  const { packed } = t
  if (packed === undefined) return [t]
  return packed.format.planes.map((plane) => planeInput(t, packed, plane))
}

/** A plane as an input of its own, its axes in the order in which it lies in memory. */
export function planeInput(t: ir.Input, packed: Packed, plane: Plane): ir.Input {
  const { stack, rows, columns } = dimensionsOf(t, packed)
  const fields = Math.ceil(volume(columns) / perOf(plane, columns))
  const along = { name: "field", extent: literal(Math.ceil(fields / fieldsOfWord(plane))) }
  const own = isOfRows(plane) ? rows : blocksOf(plane, rows)
  const axes = [...stack, ...(plane.across ? [along, ...own] : [...own, along])]
  const storage = storageOf(plane.field)
  const dtype = storage === "u32" ? "u32" : "f32"
  return ir.input(`${t.name}.${plane.name}`, t.role, axes, dtype, storage, axes.map(extentOf))
}

/** Whether a plane has fields of its own for each row. */
const isOfRows = ({ rows, shared }: Plane): boolean => rows === 1 && shared !== true

/** The axis along which blocks of rows have fields, if there are several. */
function blocksOf({ rows: height, shared }: Plane, rows: readonly ir.Axis[]): readonly ir.Axis[] {
  if (shared || height === "all") return []
  return [{ name: "block", extent: literal(Math.ceil(volume(rows) / height)) }]
}

export function dimensionsOf({ axes }: ir.Input, { stacked, columns }: Packed) {
  const first = axes.length - columns
  return { stack: axes.slice(0, stacked), rows: axes.slice(stacked, first), columns: axes.slice(first) }
}

export const extentOf = (a: ir.Axis): number => literalExtent(a.extent)!
export const volume = (axes: readonly ir.Axis[]) => axes.reduce((n, a) => n * extentOf(a), 1)
export const perOf = ({ per }: Plane, columns: readonly ir.Axis[]) => (per === "row" ? volume(columns) : per)

/**
 * A program: arrays of numbers in, arrays out, and one function between them. No checkpoint, no tokens.
 *
 *     export const program = defineProgram({
 *       inputs: { points: input({ point: upTo(65536), dim: 3 }) },
 *       outputs: { length: ["point"] },
 *       run({ points }) {
 *         const squares = map((x) => x * x, points)
 *         return { length: map((s) => Math.sqrt(s), sum(squares, "dim")) }
 *       },
 *     })
 *
 * `input` and `outputs` give axes an order, because the host has one: its arrays are row-major, the first axis the slowest. In between
 * there is none. A program file exports its program as `program`.
 */
import { here } from "./attach.js"
import type { Entry, InputSpec } from "./entries.js"
import type { Program } from "./model.js"
import { isExtent, isRecord, refuse, shown } from "./refuse.js"
import type { NumberType, Tensor, Tree, Typed } from "./tensor.js"
import type { Traced, ValueType } from "./tracing.js"

/** The extent of an input's axis that each run sets anew, up to `max`. */
export interface Bounded {
  readonly max: number
  readonly symbol: string | undefined
}

/**
 * An extent that is known per run only, from 0 to `max`. Axes of one name have one extent in all inputs; axes of different names have one extent when they
 * name the same `symbol`: `input({ row: upTo(512, "n"), column: upTo(512, "n") })` is square.
 *
 * @throws `model/definition`, at the caller's line, when `max` is no whole number from 1 to 2^31 − 1, or `symbol` is no text
 */
export function upTo(max: number, symbol?: string): Bounded {
  if (!isExtent(max, 1)) refuse(upTo, `upTo(${shown(max)}): the largest extent is a whole number from 1 to 2^31 − 1`)
  if (symbol !== undefined && (typeof symbol !== "string" || symbol === ""))
    refuse(upTo, `upTo(${max}, ${shown(symbol)}): the name of an extent is a text`)
  return { max, symbol }
}

/**
 * An array that each run is given, row-major in the order of `axes`, f32 unless `dtype` says otherwise.
 *
 *     → the axes with their extents
 *
 * @throws `model/definition`, at the caller's line, when an axis has no name, an extent is neither a whole number from 0 to 2^31 − 1 nor `upTo(…)`, or `dtype` is none of
 * f32, i32 and u32
 */
export function input<const S extends Readonly<Record<string, number | Bounded>>, D extends NumberType = "f32">(
  axes: S,
  dtype?: D,
): Tensor<keyof S & string, D> {
  const extentOf = (axis: string, extent: number | Bounded | null) => {
    if (isExtent(extent, 0)) return extent
    if (typeof extent === "object" && extent !== null && isExtent(extent.max, 1))
      return { symbol: extent.symbol ?? axis, max: extent.max }
    return refuse(input, `input: the extent of '${axis}' is ${shown(extent)}; it is a whole number from 0, or upTo(…)`)
  }
  if (!isRecord(axes)) refuse(input, `input: the axes are ${shown(axes)}; an object of axes and extents`)
  if (Object.hasOwn(axes, "")) refuse(input, "input: an axis has no name")
  if (dtype !== undefined && !["f32", "i32", "u32"].includes(dtype))
    refuse(input, `input: the value type is ${shown(dtype)}; it is "f32", "i32" or "u32"`)
  const spec: InputSpec = {
    axes: Object.entries(axes).map(([axis, extent]) => ({ axis, extent: extentOf(axis, extent) })),
    dtype: dtype ?? "f32",
  }
  return spec as unknown as Tensor<keyof S & string, D>
}

declare const arrays: unique symbol
/** A defined program, which is ready to be compiled. Its type knows the arrays of a run: `loadProgram<typeof program>(…)`. */
export interface DefinedProgram<Inputs, Outputs> extends Program {
  readonly [arrays]?: (inputs: Inputs) => Outputs
}

/** The typed array that holds values of a type; a bool is 0 or 1. */
export type ArrayOf<D> = [D] extends ["f32"] ? Float32Array : [D] extends ["i32"] ? Int32Array : Uint32Array
type ArraysOf<T> = { readonly [K in keyof T]: T[K] extends Typed<infer D> ? ArrayOf<D> : never }

/**
 * Makes a program of its inputs (from `input`), the axes of its outputs in the host's order, and the function that computes them.
 *
 * @throws `model/definition`, at the caller's line, when an input is none of `input`'s, an output is no list of axes, or `run` is no function
 */
export function defineProgram<
  const Inputs extends Readonly<Record<string, Traced>>,
  const Axes extends Readonly<Record<string, readonly string[]>>,
  Outputs extends { readonly [K in keyof Axes]: Tensor<Axes[K][number], ValueType> },
>(definition: {
  readonly inputs: Inputs
  readonly outputs: Axes
  /** Traced once. */
  run(inputs: Inputs): Outputs
}): DefinedProgram<ArraysOf<Inputs>, ArraysOf<Pick<Outputs, keyof Axes & keyof Outputs>>> {
  const { inputs, outputs, run }: Partial<typeof definition> = isRecord(definition) ? definition : {}
  if (!isRecord(inputs)) refuse(defineProgram, `defineProgram: the inputs are ${shown(inputs)}; an object is expected`)
  for (const [name, spec] of Object.entries(inputs as object))
    if (!isRecord(spec) || !Array.isArray(spec.axes))
      refuse(defineProgram, `defineProgram: the input '${name}' is ${shown(spec)}; it is an input(…)`)
  if (!isRecord(outputs))
    refuse(defineProgram, `defineProgram: the outputs are ${shown(outputs)}; an object is expected`)
  for (const [name, axes] of Object.entries(outputs as object))
    if (!Array.isArray(axes) || !axes.every((axis) => typeof axis === "string"))
      refuse(defineProgram, `defineProgram: the output '${name}' is ${shown(axes)}; it is a list of axes, in order`)
  if (typeof run !== "function") refuse(defineProgram, `defineProgram: run is ${shown(run)}; a function is expected`)
  const entry: Entry = {
    name: "run",
    place: here(),
    inputs: definition.inputs as unknown as Entry["inputs"],
    outputs: definition.outputs,
    run: (inputs, _weights, states) => ({
      outputs: definition.run(inputs as unknown as Inputs) as unknown as Readonly<Record<string, Traced>>,
      states,
    }),
  }
  return { weights: {} satisfies Tree, states: {}, entries: [entry] }
}

/**
 * What a model asks of a checkpoint, and what it keeps between steps.
 *
 *     weight("model.layers.0.self_attn.q_proj.weight", { kv: 8, rep: 2, dim: 128 }, { embed: 1024 })
 *     stack("expert", 128, (e) => weight(`model.layers.0.mlp.experts.${e}.up_proj.weight`, { hidden: 768 }, { embed: 2048 }))
 *     state({ key: grows(40960), kv: 8, dim: 128 })
 *     state({ key: keeps(4096, 40960), kv: 8, dim: 128 })
 *
 * Each object is one stored dimension, the first the slowest; it is made of one or more named axes, again the first the slowest. So the
 * tensor of [2048, 1024] above has four axes in the program, and grouped queries need no code. At run time these are descriptions
 * (`WeightSpec`, `StateSpec`) that the compiler replaces by tensors before it calls the model.
 */
import { type Caller, isExtent, isRecord, largestExtent, refuse, shown } from "./refuse.js"
import type { Tensor } from "./tensor.js"
import type { StateSpec, ValueType, WeightSpec } from "./tracing.js"

type Dimension = Readonly<Record<string, number>>
type AxesIn<D> = D extends unknown ? keyof D & string : never

/**
 * A tensor of the checkpoint by its name.
 *
 *     → the axes of all dimensions, each with its extent
 *
 * @throws `model/definition`, at the caller's line, when it or an axis has no name, an axis stands twice, or an extent is no whole number from 1 to 2^31 − 1
 */
export function weight<const D extends readonly Dimension[]>(
  name: string,
  ...dimensions: D
): Tensor<AxesIn<D[number]>> {
  const said = () => `weight(${shown(name)})`
  if (typeof name !== "string" || name === "") refuse(weight, `${said()}: a tensor of the checkpoint has a name`)
  for (const axes of dimensions)
    if (!isRecord(axes)) refuse(weight, `${said()}: a dimension is ${shown(axes)}; it is an object of axes and extents`)
  const named = dimensions.map((axes): readonly Named[] => Object.entries(axes))
  checkAxes(weight, said, named.flat())
  const spec: WeightSpec = {
    kind: "weight",
    tensors: [name],
    stack: undefined,
    dimensions: named.map((axes) => axes.map(([axis, extent]) => ({ axis, extent: extent as number }))),
  }
  return spec as unknown as Tensor<AxesIn<D[number]>>
}

/**
 * `extent` tensors of one shape along a new axis.
 *
 *     part(i): … → axis[extent] …
 *
 * @throws `model/definition`, at the caller's line, when their shapes differ, when one is no weight, is itself a stack or has the axis already, when a
 * tensor stands twice, when the axis has no name, or when the extent is no whole number from 1 to 2^31 − 1
 */
export function stack<const S extends string, A extends string>(
  axis: S,
  extent: number,
  part: (index: number) => Tensor<A>,
): Tensor<S | A> {
  const said = () => `stack(${shown(axis)}, ${shown(extent)}, …)`
  checkAxes(stack, said, [[axis, extent]])
  if (typeof part !== "function") refuse(stack, `${said()}: its parts come from ${shown(part)}; a function is expected`)
  const parts = repeat(extent, part) as unknown as readonly WeightSpec[]
  for (const made of parts)
    if (!isRecord(made) || made.kind !== "weight")
      refuse(stack, `${said()}: a part is ${shown(made)}; it is a weight(…)`)
  const [first] = parts
  if (first === undefined || parts.some((p) => p.stack !== undefined || !sameShape(p, first)))
    return refuse(stack, `${said()} needs tensors of one shape, and at least one`)
  checkAxes(stack, said, [[axis, extent], ...first.dimensions.flat().map((a): Named => [a.axis, a.extent])])
  const names = parts.flatMap((p) => p.tensors)
  if (new Set(names).size < names.length) refuse(stack, `${said()}: a tensor stands twice among ${shown(names[0])} …`)
  const spec: WeightSpec = { ...first, tensors: names, stack: { axis, extent } }
  return spec as unknown as Tensor<S | A>
}

/** The extent of a state's axis that starts at 0 and grows with each `append`, up to a maximum. */
export interface Growing {
  readonly grows: number
  /** Of the elements from before a step the last ones that it can read; left out, all. */
  readonly keeps?: number
}

/**
 * An axis that holds nothing at first and at most `maximum` elements.
 *
 * @throws `model/definition`, at the caller's line, when `maximum` is no whole number from 1 to 2^31 − 1
 */
export function grows(maximum: number): Growing {
  if (!isExtent(maximum, 1))
    refuse(grows, `grows(${shown(maximum)}): a maximum is a whole number from 1 to ${largestExtent}`)
  return { grows: maximum }
}

/**
 * An axis as `grows(maximum)` has it, of whose elements from before a step only the last `rows` are kept. The others are 0 for who reads them, so
 * memory need not grow with the sequence: what sees a window of `rows` back gives what it gives of all.
 *
 * @throws `model/definition`, at the caller's line, when `rows` or `maximum` is no whole number from 1 to 2^31 − 1
 */
export function keeps(rows: number, maximum: number): Growing {
  const said = () => `keeps(${shown(rows)}, ${shown(maximum)})`
  if (!isExtent(rows, 1)) refuse(keeps, `${said()}: the rows are a whole number from 1 to ${largestExtent}`)
  if (!isExtent(maximum, 1)) refuse(keeps, `${said()}: a maximum is a whole number from 1 to ${largestExtent}`)
  return { grows: maximum, keeps: rows }
}

/**
 * Memory that stays between steps, zero when a sequence begins. Its growing axis has the past length as its extent.
 *
 *     → the axes with their extents; of one that grows, the number of its elements so far
 *
 * @throws `model/definition`, at the caller's line, when an axis has no name, an extent or a maximum is no whole number from 1 to 2^31 − 1, or the type is none
 */
export function state<const S extends Readonly<Record<string, number | Growing>>, D extends ValueType = "f32">(
  axes: S,
  dtype?: D,
): Tensor<keyof S & string, D> {
  if (!isRecord(axes)) refuse(state, `state(…): the axes are ${shown(axes)}; an object of axes and extents is expected`)
  const sizes = Object.entries(axes).map(([axis, extent]): Named => [axis, isGrowing(extent) ? extent.grows : extent])
  checkAxes(state, () => "state(…)", sizes)
  if (dtype !== undefined && !valueTypes.includes(dtype)) refuse(state, `state(…): there is no type ${shown(dtype)}`)
  const growing = Object.values(axes).filter(isGrowing)
  const kept = growing.find((e) => e.keeps !== undefined)
  if (kept !== undefined && growing.length > 1)
    refuse(state, "state(…): an axis keeps its last elements, so no other one grows")
  if (kept !== undefined && !isExtent(kept.keeps, 1))
    refuse(
      state,
      `state(…): an axis keeps ${shown(kept.keeps)} elements; they are a whole number from 1 to ${largestExtent}`,
    )
  const spec: StateSpec = {
    kind: "state",
    axes: Object.entries(axes).map(([axis, extent]) =>
      typeof extent === "number"
        ? { axis, extent, grows: false }
        : { axis, extent: extent.grows, grows: true, ...(extent.keeps === undefined ? {} : { keeps: extent.keeps }) },
    ),
    dtype: dtype ?? "f32",
  }
  return spec as unknown as Tensor<keyof S & string, D>
}

/**
 * [part(0), …, part(count − 1)]: the layers of a model.
 *
 * @throws `model/definition`, at the caller's line, when the count is no whole number from 0 to 2^31 − 1, or `part` is no function
 */
export function repeat<T>(count: number, part: (index: number) => T): readonly T[] {
  if (!isExtent(count, 0))
    refuse(repeat, `repeat(${shown(count)}, …): a count is a whole number from 0 to ${largestExtent}`)
  if (typeof part !== "function") refuse(repeat, `repeat(${count}, …): ${shown(part)} is no function`)
  return Array.from({ length: count }, (_, index) => part(index))
}

type Named = readonly [axis: string, extent: unknown]

const sameShape = ({ dimensions: p }: WeightSpec, { dimensions: q }: WeightSpec): boolean =>
  p.length === q.length &&
  p.every((axes, i) => {
    const others = q[i]!
    return (
      axes.length === others.length &&
      axes.every((a, j) => a.axis === others[j]!.axis && a.extent === others[j]!.extent)
    )
  })

const valueTypes: readonly string[] = ["f32", "i32", "u32", "bool"] satisfies readonly ValueType[]

const isGrowing = (extent: unknown): extent is Growing => typeof extent === "object" && extent !== null

/** Each axis once, with a name and a number of elements. */
function checkAxes(caller: Caller, said: () => string, axes: readonly Named[]): void {
  const seen = new Set<string>()
  for (const [axis, extent] of axes) {
    if (typeof axis !== "string" || axis === "") refuse(caller, `${said()}: an axis has no name`)
    if (seen.has(axis)) refuse(caller, `${said()}: the axis ${shown(axis)} stands twice`)
    seen.add(axis)
    if (!isExtent(extent, 1))
      refuse(
        caller,
        `${said()}: axis ${shown(axis)} has extent ${shown(extent)}; it is a whole number from 1 to ${largestExtent}`,
      )
  }
}

/**
 * What a model asks of a checkpoint, and what it keeps between steps.
 *
 *     weight("model.layers.0.self_attn.q_proj.weight", { kv: 8, rep: 2, dim: 128 }, { embed: 1024 })
 *     stack("expert", 128, (e) => weight(`model.layers.0.mlp.experts.${e}.up_proj.weight`, { hidden: 768 }, { embed: 2048 }))
 *     state({ key: grows(40960), kv: 8, dim: 128 })
 *
 * Each object is one stored dimension, the first the slowest; it is made of one or more named axes, again the first the slowest. So the
 * tensor of [2048, 1024] above has four axes in the program, and grouped queries need no code. At run time these are descriptions
 * (`WeightSpec`, `StateSpec`) that the compiler replaces by tensors before it calls the model.
 */
import type { Tensor } from "./tensor.js"
import type { StateSpec, ValueType, WeightSpec } from "./tracing.js"

type Dimension = Readonly<Record<string, number>>
type AxesIn<D> = D extends unknown ? keyof D & string : never

/** A tensor of the checkpoint by its name. */
export function weight<const D extends readonly Dimension[]>(
  name: string,
  ...dimensions: D
): Tensor<AxesIn<D[number]>> {
  const spec: WeightSpec = {
    kind: "weight",
    tensors: [name],
    stack: undefined,
    dimensions: dimensions.map((axes) => Object.entries(axes).map(([axis, extent]) => ({ axis, extent }))),
  }
  return spec as unknown as Tensor<AxesIn<D[number]>>
}

/**
 * `extent` tensors of one shape along a new axis.
 *
 * @throws when their shapes differ, or when one is itself a stack.
 */
export function stack<const S extends string, A extends string>(
  axis: S,
  extent: number,
  part: (index: number) => Tensor<A>,
): Tensor<S | A> {
  const parts = repeat(extent, part) as unknown as readonly WeightSpec[]
  const [first] = parts
  const shape = JSON.stringify(first?.dimensions)
  if (first === undefined || parts.some((p) => p.stack !== undefined || JSON.stringify(p.dimensions) !== shape))
    throw new Error(`stack("${axis}", ${extent}, …) needs tensors of one shape, and at least one`)
  const spec: WeightSpec = { ...first, tensors: parts.flatMap((p) => p.tensors), stack: { axis, extent } }
  return spec as unknown as Tensor<S | A>
}

/** The extent of a state's axis that starts at 0 and grows with each `append`, up to `maximum`. */
export interface Growing {
  readonly grows: number
}

/** An axis that holds nothing at first and at most `maximum` elements. */
export function grows(maximum: number): Growing {
  return { grows: maximum }
}

/** Memory that stays between steps, zero when a sequence begins. Its growing axis has the past length as its extent. */
export function state<const S extends Readonly<Record<string, number | Growing>>, D extends ValueType = "f32">(
  axes: S,
  dtype?: D,
): Tensor<keyof S & string, D> {
  const spec: StateSpec = {
    kind: "state",
    axes: Object.entries(axes).map(([axis, extent]) =>
      typeof extent === "number" ? { axis, extent, grows: false } : { axis, extent: extent.grows, grows: true },
    ),
    dtype: dtype ?? "f32",
  }
  return spec as unknown as Tensor<keyof S & string, D>
}

/** [part(0), …, part(count − 1)]: the layers of a model. */
export function repeat<T>(count: number, part: (index: number) => T): readonly T[] {
  return Array.from({ length: count }, (_, index) => part(index))
}

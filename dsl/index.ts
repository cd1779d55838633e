/** The language: what a model file imports. */
export {
  extent,
  indexing,
  merge,
  minus,
  pad,
  pick,
  plus,
  rename,
  reverse,
  roll,
  size,
  slice,
  split,
  times,
  windows,
} from "./axes.js"
export { call } from "./call.js"
export type { Entry, InputSpec } from "./entries.js"
export type { Facts } from "./facts.js"
export { argmax, dot, max, min, reduce, scan, sum, top } from "./fold.js"
export { add, biased, causal, mul, normalize, type Rotary, rmsNorm, rope, scale, silu, softmax } from "./functions.js"
export { cast, map, mapTo, outer, outerTo, where } from "./map.js"
export { append, assign, at, constant, iota, literal } from "./memory.js"
export { defineModel, type Model, type ModelDefinition, type Program } from "./model.js"
export { type Growing, grows, keeps, repeat, stack, state, weight } from "./parameters.js"
export { type ArrayOf, type Bounded, type DefinedProgram, defineProgram, input, upTo } from "./program.js"
export { greedyToken, sampleToken, samplingFields } from "./sampling.js"
export { bits, fromBits, toF32, toI32, toU32 } from "./scalar.js"
export type { ConfigSchema, ParsingSchema, StandardIssue, StandardResult, StandardSchema } from "./schema.js"
export type { Index, NumberType, Tensor, Tree } from "./tensor.js"
export type { Extent, StateSpec, ValueType, WeightSpec } from "./tracing.js"

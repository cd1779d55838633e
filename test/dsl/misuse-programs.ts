/**
 * Calls of the language with one argument that the test draws, and whether it is a right one. Loaded as authors' files are, so that each call has its
 * place: a call stands on the line of its name.
 */
import {
  append,
  argmax,
  assign,
  at,
  call,
  cast,
  causal,
  constant,
  dot,
  extent,
  indexing,
  iota,
  literal,
  map,
  mapTo,
  max,
  merge,
  minus,
  outer,
  pad,
  pick,
  plus,
  reduce,
  rename,
  reverse,
  roll,
  scale,
  scan,
  slice,
  softmax,
  split,
  sum,
  type Tensor,
  times,
  top,
  where,
  windows,
} from "../../dsl/index.js"

export interface Given {
  /** a of 6, b of 4 */
  readonly x: Tensor<"a" | "b">
  readonly i: Tensor<"a", "i32">
  readonly c: Tensor<"a", "bool">
}

export interface Slot {
  readonly call: (given: Given, drawn: never) => unknown
  readonly right: (drawn: unknown) => boolean
}

const whole = (least: number, most: number) => (v: unknown) =>
  Number.isInteger(v) && (v as number) >= least && (v as number) <= most
const large = 2 ** 31 - 1
const axis = (v: unknown) => v === "a" || v === "b"
const fresh = (v: unknown) => typeof v === "string" && v !== "" && v !== "a" && v !== "b"
/** A number that an f32 can be: what is finite stays finite. */
const number = (v: unknown) => typeof v === "number" && (!Number.isFinite(v) || Number.isFinite(Math.fround(v)))
const never = () => false

// biome-ignore format: a call stands on the line of its name
export const slots: Readonly<Record<string, Slot>> = {
  "slice axis": { call: ({ x }, v) => slice(x, v, 0, 1), right: axis },
  "slice start": { call: ({ x }, v) => slice(x, "a", v, 1), right: whole(0, 5) },
  "slice count": { call: ({ x }, v) => slice(x, "a", 2, v), right: whole(0, 4) },
  "slice tensor": { call: (_, v) => slice(v, "a" as never, 0, 1), right: never },
  "pick axis": { call: ({ x }, v) => pick(x, v, 0), right: axis },
  "pick index": { call: ({ x }, v) => pick(x, "a", v), right: whole(0, 5) },
  "pad before": { call: ({ x }, v) => pad(x, "a", v, 1), right: whole(0, large - 7) },
  "pad after": { call: ({ x }, v) => pad(x, "a", 0, v), right: whole(0, large - 6) },
  "pad value": { call: ({ x }, v) => pad(x, "a", 1, 1, v), right: (v) => v === undefined || number(v) },
  "pad value of integers": { call: ({ i }, v) => pad(i, "a", 1, 1, v), right: (v) => v === undefined || whole(-(2 ** 31), large)(v) },
  "windows count": { call: ({ x }, v) => windows(x, "a", v, "t"), right: whole(1, 6) },
  "windows tap": { call: ({ x }, v) => windows(x, "a", 2, v), right: fresh },
  "roll distance": { call: ({ x }, v) => roll(x, "a", v), right: whole(-large, large) },
  "reverse axis": { call: ({ x }, v) => reverse(x, v), right: axis },
  "top count": { call: ({ x }, v) => top(x, "a", v, "s"), right: whole(1, 6) },
  "top axis": { call: ({ x }, v) => top(x, v, 1, "s"), right: axis },
  "top slot": { call: ({ x }, v) => top(x, "a", 1, v), right: (v) => fresh(v) || v === "a" },
  "argmax axis": { call: ({ x }, v) => argmax(x, v), right: axis },
  "argmax of bools": { call: ({ c }) => argmax(c as never, "a" as never), right: never },
  "sum axis": { call: ({ x }, v) => sum(x, v), right: axis },
  "sum tensor": { call: (_, v) => sum(v, "a" as never), right: never },
  "max of bools": { call: ({ c }) => max(c as never, "a" as never), right: never },
  "reduce kind": { call: ({ x }, v) => reduce(v, x, "a"), right: (v) => v === "sum" || v === "max" || v === "min" },
  "scan kind": { call: ({ x }, v) => scan(v, x, "a"), right: (v) => v === "sum" || v === "max" || v === "min" },
  "dot axis": { call: ({ x }, v) => dot(x, x, v), right: axis },
  "dot tensor": { call: ({ x }, v) => dot(x, v, "a" as never), right: never },
  "rename from": { call: ({ x }, v) => rename(x, v, "n"), right: axis },
  "rename to": { call: ({ x }, v) => rename(x, "a", v), right: (v) => fresh(v) || v === "a" },
  "split part": { call: ({ x }, v) => split(x, "a", { p: 2, q: v }), right: (v) => v === 3 },
  "split parts": { call: ({ x }, v) => split(x, "a", v), right: never },
  "split name": { call: ({ x }) => split(x, "a", { b: 2, q: 3 } as never), right: never },
  "merge from": { call: ({ x }, v) => merge(x, ["a", v], "m"), right: (v) => v === "b" },
  "merge list": { call: ({ x }, v) => merge(x, v, "m"), right: never },
  "merge to": { call: ({ x }, v) => merge(x, ["a"], v), right: (v) => fresh(v) || v === "a" },
  "constant values": { call: (_, v) => constant("k", v), right: (v) => Array.isArray(v) },
  "constant number": { call: (_, v) => constant("k", [1, v]), right: number },
  "constant integer": { call: (_, v) => constant("k", [1, v], "i32"), right: whole(-(2 ** 31), large) },
  "constant unsigned": { call: (_, v) => constant("k", [1, v], "u32"), right: whole(0, 2 ** 32 - 1) },
  "constant type": { call: (_, v) => constant("k", [1], v), right: (v) => v === undefined || v === "f32" || v === "i32" || v === "u32" || v === "bool" },
  "constant axis": { call: (_, v) => constant(v, [1]), right: (v) => typeof v === "string" && v !== "" },
  "literal": { call: (_, v) => literal(v), right: number },
  "literal integer": { call: (_, v) => literal(v, "i32"), right: whole(-(2 ** 31), large) },
  "iota extent": { call: (_, v) => iota("k", v, 0, "place"), right: whole(0, large) },
  "iota start": { call: (_, v) => iota("k", 3, v, "place"), right: whole(-large, large) },
  "iota axis": { call: (_, v) => iota(v, 3, 0, "place"), right: (v) => typeof v === "string" && v !== "" },
  "extent axis": { call: ({ x }, v) => extent(x, v), right: axis },
  "plus": { call: (_, v) => plus(1, v), right: whole(-large, large) },
  "minus": { call: (_, v) => minus(v, 1), right: whole(-large, large) },
  "times": { call: (_, v) => times(1, v), right: whole(-large, large) },
  "at axis": { call: ({ x, i }, v) => at(x, v, indexing(i, v)), right: axis },
  "at index": { call: ({ x }, v) => at(x, "a", v), right: never },
  "at index of floats": { call: ({ x }) => at(x, "b", sum(x, "b") as never), right: never },
  "map function": { call: ({ x }, v) => map(v, x), right: never },
  "map tensor": { call: ({ x }, v) => map((a, b) => a + b, x, v as Tensor<"a">), right: never },
  "map nothing": { call: () => map(...([(a: number) => a] as unknown as [never, never])), right: never },
  "mapTo type": { call: ({ x }, v) => mapTo(v, () => 1, x), right: (v) => v === "f32" || v === "i32" || v === "u32" },
  "map capture": { call: ({ x }, v) => { const n: number = v; return map((a) => a * n, x) }, right: number },
  "map integers": { call: ({ i }, v) => { const n: number = v; return map((a) => (a < n ? a : 0), i) }, right: whole(-(2 ** 31), large) },
  "map other axes": { call: ({ x, i }) => map((a, b) => a + b, sum(x, "a"), i as never), right: never },
  "outer tensor": { call: ({ x }, v) => outer((a, b) => a + b, x, v as Tensor<"a">), right: never },
  "cast type": { call: ({ x }, v) => cast(x, v), right: (v) => v === "f32" || v === "i32" || v === "u32" },
  "where condition": { call: ({ x }) => where(x as never, x as never, x as never), right: never },
  "softmax axis": { call: ({ x }, v) => softmax(x, v), right: axis },
  "scale factor": { call: ({ x }, v) => scale(x, v), right: number },
  "causal window": { call: ({ x, i }, v) => causal(rename(x, "b", "key"), indexing(i, "position") as never, "key", v), right: (v) => v === undefined || whole(1, large)(v) },
  "append to no state": { call: ({ x }) => append(x, "a", x), right: never },
  "assign to no state": { call: ({ x }) => assign(x, x), right: never },
  "call function": { call: (_, v) => call(v), right: never },
  "call result": { call: ({ x }, v) => call((_: Tensor<"a" | "b">) => v, x), right: never },
  "call of a capture": { call: ({ x, i }) => call((_: Tensor<"a", "i32">) => sum(x, "b"), i), right: never },
}

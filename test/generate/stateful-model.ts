/** Models with states of every kind, one after the other as the config lists them; loaded as authors' files are. */
import * as z from "zod"
import {
  add,
  append,
  assign,
  at,
  causal,
  defineModel,
  dot,
  extent,
  grows,
  iota,
  keeps,
  type Model,
  max,
  minus,
  pick,
  rename,
  scan,
  slice,
  softmax,
  state,
  sum,
  type Tensor,
  weight,
} from "../../dsl/index.js"

/**
 * `total`, `last`, `several`: assigned. `cache`, `inside`: a row for each token, along the slowest axis or another. `sparse`: one row for each
 * call, wherever it stands, so that the rows between keep their first value. `window`: the last rows alone, which go round in memory.
 */
export const kinds = ["total", "last", "several", "cache", "inside", "sparse", "window"] as const
type Kind = (typeof kinds)[number]
type Rows = Tensor<"seq" | "embed">

const embed = 4
/** Tokens that a layer sees, itself among them. */
export const window = 3
const axesOf = (kind: Kind, context: number) =>
  ({
    total: { embed },
    last: { embed },
    cache: { key: grows(context), embed },
    inside: { embed, key: grows(context) },
    sparse: { key: grows(context), embed },
    several: { mark: 3, embed },
    window: { key: keeps(window, context), embed },
  })[kind]

/** What a layer adds to its rows, and the state after them. */
function layer(kind: Kind, x: Rows, before: Tensor<string>): { readonly y: Rows; readonly after: Tensor<string> } {
  const last = (rows: Rows) => pick(rows, "seq", minus(extent(rows, "seq"), 1))
  const keys = before as Tensor<"key" | "embed">
  switch (kind) {
    case "total": {
      const sums = add(scan("sum", x, "seq"), before as Tensor<"embed">)
      return { y: sums, after: assign(before as Tensor<"embed">, last(sums)) as Tensor<string> }
    }
    case "last":
      return {
        y: add(x, before as Tensor<"embed">),
        after: assign(before as Tensor<"embed">, last(x)) as Tensor<string>,
      }
    case "several": {
      const marks = before as Tensor<"mark" | "embed">
      return { y: add(x, max(marks, "mark")), after: assign(marks, add(marks, last(x))) as Tensor<string> }
    }
    case "cache":
    case "inside": {
      const all = append(keys, "key", rename(x, "seq", "key"))
      return { y: add(x, max(all, "key")), after: all as Tensor<string> }
    }
    case "window": {
      const all = append(keys, "key", rename(x, "seq", "key"))
      const position = iota("seq", extent(x, "seq"), extent(keys, "key"), "position")
      const seen = softmax(causal(dot(x, all, "embed"), position, "key", window), "key")
      return { y: add(x, dot(seen, all, "key")), after: all as Tensor<string> }
    }
    case "sparse": {
      const all = append(keys, "key", slice(rename(add(x, x), "seq", "key"), "key", 0, 1))
      return { y: add(x, sum(all, "key")), after: all as Tensor<string> }
    }
  }
}

export const model: Model = defineModel({
  families: [],
  config: z.object({ context: z.int(), vocab: z.int(), layers: z.array(z.enum(kinds)) }),
  facts: (c) => ({ context: c.context, vocabulary: c.vocab, endTokens: [] }),
  parameters: (c) => ({
    table: weight("table", { vocab: c.vocab }, { embed }),
    head: weight("head", { vocab: c.vocab }, { embed }),
  }),
  state: (c) =>
    Object.fromEntries(c.layers.map((kind, i) => [`s${i}`, state(axesOf(kind, c.context)) as Tensor<string>])),
  forward(c, w, tokens, past) {
    const after: Record<string, Tensor<string>> = {}
    let x: Rows = at(w.table, "vocab", tokens)
    for (const [i, kind] of c.layers.entries()) {
      const made = layer(kind, x, past[`s${i}`]!)
      x = made.y
      after[`s${i}`] = made.after
    }
    return { logits: dot(x, w.head, "embed"), past: after }
  },
})

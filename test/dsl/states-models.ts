/** Models that differ in what they return for their states; loaded as authors' files are. */
import * as z from "zod"
import {
  add,
  append,
  assign,
  at,
  call,
  constant,
  defineModel,
  dot,
  grows,
  iota,
  keeps,
  type Model,
  merge,
  outer,
  rename,
  state,
  type Tensor,
  weight,
} from "../../dsl/index.js"

const [vocab, embed] = [5, 4]
const rows = { key: grows(8), embed }
type Rows = Tensor<"key" | "embed">
type Embedded = Tensor<"seq" | "embed">
type Past = { readonly k: Rows; readonly v: Rows }
type Layer = (x: Embedded, past: Past) => Past

const grown = (past: Rows, x: Embedded): Rows => append(past, "key", rename(x, "seq", "key"))
const doubled = (x: Rows): Rows => add(x, x)
const doubledRows = (x: Embedded): Tensor<"seq" | "embed" | "twice"> => outer((v, _) => v, x, constant("twice", [1, 1]))

const layers: Readonly<Record<string, Layer>> = {
  appended: (x, past) => ({ k: grown(past.k, x), v: grown(past.v, x) }),
  otherOrder: (x, past) => ({ v: grown(past.v, x), k: grown(past.k, x) }),
  leftAsItWas: (x, past) => ({ k: grown(past.k, x), v: past.v }),
  crossed: (x, past) => ({ k: grown(past.v, x), v: grown(past.k, x) }),
  computed: (x, past) => ({ k: doubled(grown(past.k, x)), v: past.v }),
  twice: (x, past) => ({ k: grown(past.k, x), v: grown(past.k, add(x, x)) }),
  missing: (x, past) => ({ k: grown(past.k, x) }) as unknown as Past,
}

function modelOf(layer: Layer): Model {
  return defineModel({
    families: [],
    config: z.object({}),
    facts: () => ({ context: 8, vocabulary: vocab, endTokens: [] }),
    parameters: () => ({ table: weight("table", { vocab }, { embed }) }),
    state: () => ({ a: { k: state(rows), v: state(rows) }, b: { k: state(rows), v: state(rows) } }),
    forward(_, w, tokens, past) {
      const x = at(w.table, "vocab", tokens)
      return { logits: dot(x, w.table, "embed"), past: { a: layer(x, past.a), b: layer(x, past.b) } }
    },
  })
}

/** Each layer written in line and as a repeated unit. */
export const inline: Readonly<Record<string, Model>> = Object.fromEntries(
  Object.entries(layers).map(([name, layer]) => [name, modelOf(layer)]),
)
export const repeated: Readonly<Record<string, Model>> = Object.fromEntries(
  Object.entries(layers).map(([name, layer]) => [name, modelOf((x, past) => call(layer, x, past))]),
)

/** Appends, uses what it appended, and returns the past as it was. */
export const stale: Model = defineModel({
  families: [],
  config: z.object({}),
  facts: () => ({ context: 8, vocabulary: vocab, endTokens: [] }),
  parameters: () => ({ table: weight("table", { vocab }, { embed }) }),
  state: () => ({ k: state(rows) }),
  forward(_, w, tokens, past) {
    const x = at(w.table, "vocab", tokens)
    const scores = dot(x, grown(past.k, x), "embed")
    return { logits: dot(dot(scores, grown(past.k, x), "key"), w.table, "embed"), past }
  },
})

/** Computes three rows of logits, whatever the tokens. */
export const deaf: Model = defineModel({
  families: [],
  config: z.object({}),
  facts: () => ({ context: 8, vocabulary: vocab, endTokens: [] }),
  parameters: () => ({ table: weight("table", { vocab }, { embed }) }),
  state: () => ({}),
  forward: (_, w) => ({ logits: dot(at(w.table, "vocab", iota("seq", 3, 0, "vocab")), w.table, "embed"), past: {} }),
})

/** What a model does with a state that keeps its last two rows. */
export const keptRows: Readonly<Record<string, Model>> = Object.fromEntries(
  Object.entries({
    assigned: (past: Rows) => assign(past, past),
    doubled: (past: Rows, x: Embedded) => append(past, "key", merge(doubledRows(x), ["seq", "twice"], "key")),
    across: (past: Rows) => append(past, "embed", past),
  }).map(([name, write]) => [
    name,
    defineModel({
      families: [],
      config: z.object({}),
      facts: () => ({ context: 100, vocabulary: vocab, endTokens: [] }),
      parameters: () => ({ table: weight("table", { vocab }, { embed }) }),
      state: () => ({ k: state({ key: keeps(2, 100), embed }) }),
      forward(_, w, tokens, past) {
        const x = at(w.table, "vocab", tokens)
        return { logits: dot(x, w.table, "embed"), past: { k: write(past.k, x) } }
      },
    }),
  ]),
)

/** Throws while it is traced; with heads that do not share the channels, while it is configured. */
export const model: Model = defineModel({
  families: [],
  config: z.object({ heads: z.int().default(1) }),
  facts: () => ({ context: 8, vocabulary: vocab, endTokens: [] }),
  parameters: ({ heads }) => ({ table: weight("table", { vocab }, { embed: embed / heads }) }),
  state: () => ({}),
  forward() {
    throw new Error("not today")
  },
})

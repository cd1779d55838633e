/**
 * Two published architectures as far as kernels go: pre-norm blocks as in Llama 3 (Grattafiori et al. 2024, arXiv 2407.21783), and those of GPT-2
 * (Radford et al. 2019), with biases, learned positions and as many key heads as query heads. Their shapes are compiled, nothing is run.
 *
 *     model.configure({ kind: "llama", layers: 16, embed: 2048, kv: 8, rep: 4, dim: 64, hidden: 8192, vocab: 128256, context: 8192 })
 */
import * as z from "zod"
import {
  add,
  append,
  at,
  biased,
  call,
  causal,
  defineModel,
  dot,
  extent,
  grows,
  iota,
  map,
  rename,
  repeat,
  rmsNorm,
  rope,
  scale,
  silu,
  softmax,
  state,
  sum,
  type Tensor,
  weight,
} from "../../dsl/index.js"

type Embedded = Tensor<"seq" | "embed">

const count = z.int().positive()
const schema = z.object({
  kind: z.enum(["llama", "gpt2"]),
  layers: count,
  embed: count,
  kv: count,
  rep: count,
  dim: count,
  hidden: count,
  vocab: count,
  context: count,
})
type Config = z.output<typeof schema>

function layerWeights(c: Config, i: number) {
  const name = `layers.${i}`
  const [embed, hidden] = [{ embed: c.embed }, { hidden: c.hidden }]
  const [queries, keys] = [
    { kv: c.kv, rep: c.rep, dim: c.dim },
    { kv: c.kv, dim: c.dim },
  ]
  const biases = c.kind === "gpt2"
  return {
    norm: weight(`${name}.norm`, embed),
    normBias: biases ? weight(`${name}.norm.bias`, embed) : undefined,
    q: weight(`${name}.q`, queries, embed),
    qBias: biases ? weight(`${name}.q.bias`, queries) : undefined,
    k: weight(`${name}.k`, keys, embed),
    kBias: biases ? weight(`${name}.k.bias`, keys) : undefined,
    v: weight(`${name}.v`, keys, embed),
    vBias: biases ? weight(`${name}.v.bias`, keys) : undefined,
    o: weight(`${name}.o`, embed, queries),
    oBias: biases ? weight(`${name}.o.bias`, embed) : undefined,
    feedNorm: weight(`${name}.feedNorm`, embed),
    feedNormBias: biases ? weight(`${name}.feedNorm.bias`, embed) : undefined,
    gate: c.kind === "llama" ? weight(`${name}.gate`, hidden, embed) : undefined,
    up: weight(`${name}.up`, hidden, embed),
    upBias: biases ? weight(`${name}.up.bias`, hidden) : undefined,
    down: weight(`${name}.down`, embed, hidden),
    downBias: biases ? weight(`${name}.down.bias`, embed) : undefined,
  }
}
type Layer = ReturnType<typeof layerWeights>

function cacheState(c: Config) {
  const rows = { key: grows(c.context), kv: c.kv, dim: c.dim }
  return { k: state(rows), v: state(rows) }
}
type Cache = ReturnType<typeof cacheState>

const eps = 1e-5

/** Of rows less their mean, with a bias, where there is one; else of rows as they are. */
function norm(c: Config, x: Embedded, w: Tensor<"embed">, bias: Tensor<"embed"> | undefined): Embedded {
  if (bias === undefined) return rmsNorm(x, w, "embed", eps)
  const mean = scale(sum(x, "embed"), 1 / c.embed)
  return biased(
    rmsNorm(
      map((value, m) => value - m, x, mean),
      w,
      "embed",
      eps,
    ),
    bias,
  )
}

/** The tanh form of GELU. */
const gelu = (x: number): number => 0.5 * x * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)))

function block(c: Config, x: Embedded, w: Layer, past: Cache) {
  const position = iota("seq", extent(x, "seq"), extent(past.k, "key"), "position")
  const frequencies = Array.from({ length: c.dim / 2 }, (_, i) => 500_000 ** ((-2 * i) / c.dim))
  const turned = <X extends string>(heads: Tensor<X | "seq" | "dim">) =>
    c.kind === "llama" ? rope(heads, position, "dim", { frequencies, scaling: 1 }) : heads
  const normed = norm(c, x, w.norm, w.normBias)
  const q = turned(biased(dot(normed, w.q, "embed"), w.qBias))
  const k = turned(biased(dot(normed, w.k, "embed"), w.kBias))
  const v = biased(dot(normed, w.v, "embed"), w.vBias)
  const keys = append(past.k, "key", rename(k, "seq", "key"))
  const values = append(past.v, "key", rename(v, "seq", "key"))
  const scores = scale(dot(q, keys, "dim"), c.dim ** -0.5)
  const p = softmax(causal(scores, position, "key"), "key")
  const h = add(x, biased(dot(dot(p, values, "key"), w.o, "kv", "rep", "dim"), w.oBias))
  const again = norm(c, h, w.feedNorm, w.feedNormBias)
  const up = biased(dot(again, w.up, "embed"), w.upBias)
  const wide = w.gate === undefined ? map(gelu, up) : map((g, u) => silu(g) * u, dot(again, w.gate, "embed"), up)
  return { x: add(h, biased(dot(wide, w.down, "hidden"), w.downBias)), cache: { k: keys, v: values } }
}

export const model = defineModel({
  families: ["blocks"],
  config: schema,
  facts: (c) => ({ context: c.context, vocabulary: c.vocab, endTokens: [] }),
  parameters: (c) => ({
    embedding: weight("embedding", { vocab: c.vocab }, { embed: c.embed }),
    positions: c.kind === "gpt2" ? weight("positions", { position: c.context }, { embed: c.embed }) : undefined,
    layers: repeat(c.layers, (i) => layerWeights(c, i)),
    norm: weight("norm", { embed: c.embed }),
    normBias: c.kind === "gpt2" ? weight("norm.bias", { embed: c.embed }) : undefined,
  }),
  state: (c) => repeat(c.layers, () => cacheState(c)),
  forward(c, w, tokens, past) {
    let x: Embedded = at(w.embedding, "vocab", tokens)
    if (w.positions !== undefined) {
      const position = iota("seq", extent(x, "seq"), extent(past[0]!.k, "key"), "position")
      x = add(x, at(w.positions, "position", position))
    }
    const caches = w.layers.map((weights, i) => {
      const layer = (x: Embedded, w: Layer, past: Cache) => block(c, x, w, past)
      const after = call(layer, x, weights, past[i]!)
      x = after.x
      return after.cache
    })
    return { logits: dot(norm(c, x, w.norm, w.normBias), w.embedding, "embed"), past: caches }
  },
})

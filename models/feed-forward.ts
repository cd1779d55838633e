/**
 * Gated feed-forward layers (Shazeer 2020, arXiv 2002.05202): dense, and with a router that chooses a few experts for each token
 * (Shazeer et al. 2017, arXiv 1701.06538).
 *
 *     dense(x, w)                                               down(silu(gate x) · up x)
 *     experts(x, w, { chosen: 8, normalised: true })            the same of 8 experts, each times its share
 *
 * Axes: seq, embed, hidden (of the layer or of an expert), expert, slot (the experts that are chosen).
 */
import { at, biased, dot, map, normalize, silu, softmax, stack, top, weight } from "../dsl/index.js"
import type { Embedded } from "./attention.js"

export type Dense = ReturnType<typeof denseWeights>
export function denseWeights(embedSize: number, hiddenSize: number, name: string, biases = false) {
  const embed = { embed: embedSize }
  const hidden = { hidden: hiddenSize }
  return {
    gate: weight(`${name}.gate_proj.weight`, hidden, embed),
    up: weight(`${name}.up_proj.weight`, hidden, embed),
    down: weight(`${name}.down_proj.weight`, embed, hidden),
    gateBias: biases ? weight(`${name}.gate_proj.bias`, hidden) : undefined,
    upBias: biases ? weight(`${name}.up_proj.bias`, hidden) : undefined,
    downBias: biases ? weight(`${name}.down_proj.bias`, embed) : undefined,
  }
}

export function dense(x: Embedded, w: Dense): Embedded {
  const gate = biased(dot(x, w.gate, "embed"), w.gateBias)
  const up = biased(dot(x, w.up, "embed"), w.upBias)
  return biased(
    dot(
      map((g, u) => silu(g) * u, gate, up),
      w.down,
      "hidden",
    ),
    w.downBias,
  )
}

/** The names of an expert's three tensors. */
export interface ExpertNames {
  readonly gate: string
  readonly up: string
  readonly down: string
}

const usual: ExpertNames = { gate: "gate_proj", up: "up_proj", down: "down_proj" }

export type Experts = ReturnType<typeof expertWeights>
export function expertWeights(embedSize: number, hiddenSize: number, count: number, name: string, names = usual) {
  const embed = { embed: embedSize }
  const hidden = { hidden: hiddenSize }
  const tensor = (e: number, part: keyof ExpertNames) => `${name}.experts.${e}.${names[part]}.weight`
  return {
    router: weight(`${name}.gate.weight`, { expert: count }, embed),
    gate: stack("expert", count, (e) => weight(tensor(e, "gate"), hidden, embed)),
    up: stack("expert", count, (e) => weight(tensor(e, "up"), hidden, embed)),
    down: stack("expert", count, (e) => weight(tensor(e, "down"), embed, hidden)),
  }
}

/** How experts share a token: so many of them, by chances that are made to sum to 1 again or stay as they are. */
export interface Routing {
  readonly chosen: number
  readonly normalised: boolean
}

export function experts(x: Embedded, w: Experts, { chosen, normalised }: Routing): Embedded {
  const chances = softmax(dot(x, w.router, "embed"), "expert")
  const { index, value } = top(chances, "expert", chosen, "slot")
  const gate = dot(x, at(w.gate, "expert", index), "embed")
  const up = dot(x, at(w.up, "expert", index), "embed")
  const h = map((g, u) => silu(g) * u, gate, up)
  const share = normalised ? normalize(value, "slot") : value
  return dot(dot(h, at(w.down, "expert", index), "hidden"), share, "slot")
}

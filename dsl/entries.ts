/**
 * Entry points, and those of a model. The runtime chains them; tokens and logits stay on the device in between.
 *
 *     prefill(tokens)      past, logits ← forward(tokens), the last row
 *     greedy()             token ← argmax(logits)
 *     sample(sampling)     token ← a draw from softmax(logits), filtered
 *     draw(sampling)       the same where neither top-k nor top-p filters
 *     step()               past, logits ← forward(token)
 *     logits(tokens)       past, and all rows of the logits as an output
 *
 * A prompt is prefill, then (greedy or sample, step) for each token.
 */
import type { SourceSpan } from "./attach.js"
import { extent, indexing, minus, pick } from "./axes.js"
import type { Facts } from "./facts.js"
import { outer } from "./map.js"
import { assign, iota } from "./memory.js"
import { state } from "./parameters.js"
import { drawToken, greedyToken, sampleToken, samplingFields } from "./sampling.js"
import type { Index, Tensor, Tree } from "./tensor.js"
import type { Traced, ValueType } from "./tracing.js"

/** Values that arrive with each run of an entry point, row-major. The extents that name one symbol are equal: any number up to `max`. */
export interface InputSpec {
  readonly axes: readonly {
    readonly axis: string
    readonly extent: number | { readonly symbol: string; readonly max: number }
  }[]
  readonly dtype: ValueType
}

/** An entry point: what it takes and gives, and the function that the compiler traces. */
export interface Entry {
  readonly name: string
  /** Where the program was defined: the place of what is wrong with the whole of it. */
  readonly place?: SourceSpan | undefined
  readonly inputs: Readonly<Record<string, InputSpec>>
  /** The axes of each output in the host's order, the slowest first. */
  readonly outputs: Readonly<Record<string, readonly string[]>>
  /** Traced once. `weights` and `states` are the program's trees with tensors in the place of specs; unchanged states are returned as they are. */
  run(
    inputs: Readonly<Record<string, Traced>>,
    weights: Tree,
    states: Tree,
  ): { readonly outputs: Readonly<Record<string, Traced>>; readonly states: Tree }
}

/** The states of a program: the model's, the logits of the next token, and the token itself (−1: some logit is not finite). */
interface States<Past> {
  readonly past: Past
  readonly logits: Tensor<"vocab">
  readonly token: Tensor<"seq", "i32">
}

interface Parts<Weights extends Tree, Past extends Tree> {
  readonly facts: Facts
  readonly past: Past
  forward(
    weights: Weights,
    tokens: Index<"seq", "vocab">,
    past: Past,
  ): { readonly logits: Tensor<"seq" | "vocab">; readonly past: Past }
}

/** The entry points of a configured model and the states that they share. */
export function entriesOf<Weights extends Tree, Past extends Tree>({ facts, past, forward }: Parts<Weights, Past>) {
  const states = { past, logits: state({ vocab: facts.vocabulary }), token: state({ seq: 1 }, "i32") }

  const run = (weights: Weights, tokens: Tensor<"seq", "i32">, before: States<Past>) => {
    const { logits, past } = forward(weights, indexing(tokens, "vocab"), before.past)
    return { logits, states: { ...before, past } }
  }
  const advance = (weights: Weights, tokens: Tensor<"seq", "i32">, before: States<Past>) => {
    const { logits, states } = run(weights, tokens, before)
    const last = pick(logits, "seq", minus(extent(logits, "seq"), 1))
    return { outputs: {}, states: { ...states, logits: assign(before.logits, last) } }
  }
  const choose = (token: Tensor<never, "i32">, before: States<Past>) => {
    const asSequence = outer((t, _place) => t, token, iota("seq", 1, 0, "position"))
    return { outputs: {}, states: { ...before, token: assign(before.token, asSequence) } }
  }

  const seq = { axis: "seq", extent: { symbol: "seq", max: facts.context } }
  const sequence: InputSpec = { axes: [seq], dtype: "i32" }
  const fields: InputSpec = { axes: [{ axis: "field", extent: samplingFields.length }], dtype: "u32" }
  const entry = entryOf<Weights, Past>
  const entries = [
    entry("prefill", { tokens: sequence }, ({ tokens }, weights, before) => advance(weights, tokens, before)),
    entry("step", {}, (_, weights, before) => advance(weights, before.token, before)),
    entry(
      "logits",
      { tokens: sequence },
      ({ tokens }, weights, before) => {
        const { logits, states } = run(weights, tokens, before)
        return { outputs: { logits }, states }
      },
      { logits: ["seq", "vocab"] },
    ),
    entry("greedy", {}, (_inputs, _weights, before) => choose(greedyToken(before.logits), before)),
    entry("sample", { sampling: fields }, ({ sampling }, _weights, before) =>
      choose(sampleToken(before.logits, sampling), before),
    ),
    entry("draw", { sampling: fields }, ({ sampling }, _weights, before) =>
      choose(drawToken(before.logits, sampling), before),
    ),
  ]
  return { states, entries }
}

/** The inputs of all entry points, as the compiler makes them from their specs. */
interface Inputs {
  readonly tokens: Tensor<"seq", "i32">
  readonly sampling: Tensor<"field", "u32">
}

/** An entry point whose `run` is typed; the trees that the compiler passes have the shapes of the specs that it got. */
function entryOf<Weights extends Tree, Past extends Tree>(
  name: "prefill" | "step" | "logits" | "greedy" | "sample" | "draw",
  inputs: Entry["inputs"],
  run: (inputs: Inputs, weights: Weights, states: States<Past>) => ReturnType<Entry["run"]>,
  outputs: Entry["outputs"] = {},
): Entry {
  return {
    name,
    inputs,
    outputs,
    run: (given, weights, states) =>
      run(given as unknown as Inputs, weights as Weights, states as unknown as States<Past>),
  }
}

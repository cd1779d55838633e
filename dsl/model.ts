/**
 * A model: a config schema, the parameters and the state that follow from a config, and one function from tokens to logits.
 *
 *     export const model = defineModel({
 *       families: ["tiny"],
 *       config: z.object({ vocab: z.int(), embed: z.int(), max: z.int() }),
 *       facts: (c) => ({ context: c.max, vocabulary: c.vocab, endTokens: [] }),
 *       parameters: (c) => ({ table: weight("table", { vocab: c.vocab }, { embed: c.embed }) }),
 *       state: (c) => ({ seen: state({ key: grows(c.max), embed: c.embed }) }),
 *       forward(c, w, tokens, past) {
 *         const x = at(w.table, "vocab", tokens)
 *         const seen = append(past.seen, "key", rename(x, "seq", "key"))
 *         return { logits: dot(x, w.table, "embed"), past: { seen } }
 *       },
 *     })
 *
 * The compiler calls `configure` with the parsed config.json and traces the entry points. A model file exports its model as `model`.
 */
import { type Entry, entriesOf } from "./entries.js"
import type { Facts } from "./facts.js"
import { isRecord, refuse, shown } from "./refuse.js"
import { type ConfigSchema, readConfig } from "./schema.js"
import type { Index, Tensor, Tree } from "./tensor.js"

export interface ModelDefinition<Config, Weights extends Tree, Past extends Tree> {
  /** Values of `model_type` that this model reads. */
  readonly families: readonly string[]
  /** Reads config.json: a schema of zod or another library. Refuses, by name, what the model does not compute. */
  readonly config: ConfigSchema<Config>
  facts(config: NoInfer<Config>): Omit<Facts, "ignore" | "alternatives">
  /**
   * Names of tensors that a checkpoint may hold though the model has no weight for them; `*` stands for any part: `["h.*.attn.bias"]`.
   * Rotary tables, masks and counters need not be named. What else a checkpoint holds beside the weights is refused or told at load.
   */
  readonly ignore?: readonly string[]
  /**
   * Other names under which a weight may stand, by its own: a tied model's one table, `{ "wte.weight": ["lm_head.weight"] }`. Where several
   * are there, they must hold the same numbers.
   */
  alternatives?(config: NoInfer<Config>): Readonly<Record<string, readonly string[]>> | undefined
  /** Specs from `weight` and `stack`. */
  parameters(config: NoInfer<Config>): Weights
  /** Specs from `state`. */
  state(config: NoInfer<Config>): Past
  /** Logits of the next token after each of `tokens`, and the state after them. */
  forward(
    config: NoInfer<Config>,
    weights: NoInfer<Weights>,
    tokens: Index<"seq", "vocab">,
    past: NoInfer<Past>,
  ): { readonly logits: Tensor<"seq" | "vocab">; readonly past: NoInfer<Past> }
}

/** Everything that the compiler needs: a model with its config, or a program (`program.ts`), which has no facts. */
export interface Program {
  readonly facts?: Facts
  /** A tree of `WeightSpec`s. */
  readonly weights: Tree
  /** A tree of `StateSpec`s: those of the model and those of the entry points. */
  readonly states: Tree
  readonly entries: readonly Entry[]
}

export interface Model {
  readonly families: readonly string[]
  /**
   * A config as the model's schema reads it, with what it leaves out.
   *
   * @throws what `configure` throws
   */
  read(json: unknown): unknown
  /**
   * @param json the content of config.json
   * @throws what the schema throws: an error whose issues name the fields that are missing or not supported
   */
  configure(json: unknown): Program & { readonly facts: Facts }
}

/**
 * Makes a model of its parts; the types of weights and state follow from `parameters` and `state`.
 *
 * @throws `model/definition`, at the caller's line, when `families` or `ignore` is no list of texts, `config` is no schema, or another part is no function
 */
export function defineModel<Config, const Weights extends Tree, const Past extends Tree>(
  definition: ModelDefinition<Config, Weights, Past>,
): Model {
  checkDefinition(definition)
  return {
    families: definition.families,
    read: (json) => readConfig(definition.config, json),
    configure(json) {
      const config = readConfig(definition.config, json)
      const { ignore } = definition
      const alternatives = definition.alternatives?.(config)
      const facts: Facts = {
        ...definition.facts(config),
        ...(ignore === undefined ? {} : { ignore }),
        ...(alternatives === undefined ? {} : { alternatives }),
      }
      const { states, entries } = entriesOf({
        facts,
        past: definition.state(config),
        forward: (weights: Weights, tokens, past) => definition.forward(config, weights, tokens, past),
      })
      return { facts, weights: definition.parameters(config), states, entries }
    },
  }
}

function checkDefinition(definition: unknown): void {
  const said = (name: string, value: unknown, expected: string): never =>
    refuse(defineModel, `defineModel: ${name} is ${shown(value)}; ${expected}`)
  if (!isRecord(definition)) said("what it is given", definition, "an object is expected")
  const isTexts = (value: unknown) => Array.isArray(value) && value.every((text) => typeof text === "string")
  const { families, ignore, config, ...functions } = definition as Readonly<Record<string, unknown>>
  if (!isTexts(families)) said("families", families, "a list of texts is expected")
  if (ignore !== undefined && !isTexts(ignore)) said("ignore", ignore, "a list of texts is expected")
  // A schema may be a function with properties, as ArkType's are.
  const hasFields = (typeof config === "object" && config !== null) || typeof config === "function"
  if (!hasFields || !("parse" in config || "~standard" in config)) said("config", config, "a schema is expected")
  for (const name of ["facts", "parameters", "state", "forward", "alternatives"])
    if (typeof functions[name] !== "function" && !(name === "alternatives" && functions[name] === undefined))
      said(name, functions[name], "a function is expected")
}

/**
 * The steps of a tokenizer.json around the merging: how text is normalised, how it is cut, and what is put around the ids.
 *
 *     normalizer NFC, pre_tokenizer [Split by Qwen's pattern, ByteLevel], post_processor none
 *
 * Each step is known by name; any other is refused, for its ids would not be the reference's, or the text would not come back.
 */
import { type Cut, cutAtDigits, cutAtPattern, cutAtWords } from "./pieces.js"
import { invalid, isObject, type JsonObject, shown, unsupported } from "./tokenizer-errors.js"

export interface Steps {
  normalize(text: string): string
  /** A normalised text without added tokens, as pieces of text. */
  cut(text: string): readonly string[]
  /** Ids that stand before and after those of a text. */
  readonly before: readonly number[]
  readonly after: readonly number[]
}

/** Steps of one kind, one inside of the other or in a row, that any tokenizer needs. */
const most = { nested: 8, steps: 32 } as const

/** @param idOf the id of a token by its text */
export function stepsOf(parsed: JsonObject, idOf: (name: string) => number | undefined): Steps {
  const forms = flat(parsed.normalizer, "normalizer", "normalizers").map(formOf)
  const cuts = cutsOf(flat(parsed.pre_tokenizer, "pre_tokenizer", "pretokenizers"))
  const around = flat(parsed.post_processor, "post_processor", "processors").map((step) => aroundOf(step, idOf))
  return {
    normalize: (text) => forms.reduce((normal, form) => normal.normalize(form), text),
    cut: (text) => cuts.reduce<readonly string[]>((pieces, cut) => pieces.flatMap(cut), [text]),
    // Each processor puts its own around what the one before has made.
    before: around.flatMap(({ before }) => before),
    after: around.flatMap(({ after }) => after),
  }
}

/** The steps in the order in which they are taken; `Sequence`s are laid open. */
function flat(step: unknown, field: string, list: string, depth = 0): readonly JsonObject[] {
  if (step === undefined || step === null) return []
  if (!isObject(step)) return invalid("tokenizer.json", `"${field}" is no step`)
  if (step.type !== "Sequence") return [step]
  const inner = step[list]
  if (!Array.isArray(inner) || depth > most.nested)
    return invalid("tokenizer.json", `"${field}" is no sequence of steps`)
  const steps = inner.flatMap((one: unknown) => flat(one, field, list, depth + 1))
  return steps.length <= most.steps ? steps : invalid("tokenizer.json", `"${field}" has ${steps.length} steps`)
}

function formOf({ type }: JsonObject): "NFC" | "NFD" | "NFKC" | "NFKD" {
  if (type === "NFC" || type === "NFD" || type === "NFKC" || type === "NFKD") return type
  return unsupported(`the normalizer is ${shown(type)}`)
}

/** All cuts but the last are at patterns or digits; the last is a ByteLevel, which spells bytes. */
function cutsOf(steps: readonly JsonObject[]): readonly Cut[] {
  const last = steps.at(-1)
  if (last?.type !== "ByteLevel") {
    const names =
      steps.length === 0 ? "absent" : steps.map(({ type }) => (typeof type === "string" ? type : "unnamed")).join(", ")
    return unsupported(`the pre-tokenizer is ${shown(names)}; ByteLevel must be its last step`)
  }
  if (last.add_prefix_space === true)
    return unsupported('"add_prefix_space" puts a space before the text, which would not come back')
  const cuts = steps.slice(0, -1).map(cutOf)
  return last.use_regex === false ? cuts : [...cuts, cutAtWords]
}

function cutOf(step: JsonObject): Cut {
  if (step.type === "Digits") return cutAtDigits(step.individual_digits === true)
  if (step.type !== "Split") return unsupported(`the pre-tokenizer has the step ${shown(step.type)}`)
  const { pattern, behavior, invert } = step
  const regex = isObject(pattern) ? pattern.Regex : undefined
  const cut = typeof regex === "string" ? cutAtPattern(regex) : undefined
  if (cut === undefined) return unsupported(`the pre-tokenizer splits at ${shown(regex ?? pattern)}`)
  // These patterns match everything, so that keeping what matches and keeping all is the same.
  const keepsAll = (behavior === "Isolated" && invert !== true) || (behavior === "Removed" && invert === true)
  return keepsAll ? cut : unsupported(`the pre-tokenizer splits with the behavior ${shown(behavior)}`)
}

function aroundOf(step: JsonObject, idOf: (name: string) => number | undefined): Pick<Steps, "before" | "after"> {
  if (step.type === "ByteLevel") return { before: [], after: [] }
  if (step.type !== "TemplateProcessing") return unsupported(`the post-processor is ${shown(step.type)}`)
  const items: readonly unknown[] = Array.isArray(step.single) ? step.single : []
  const texts = items.flatMap((item, i) => (isObject(item) && isObject(item.Sequence) ? [i] : []))
  if (texts.length !== 1 || items.length > most.steps)
    return invalid("tokenizer.json", "the post-processor's template has not one text")
  const ids = items.map((item) => {
    const special = isObject(item) && isObject(item.SpecialToken) ? item.SpecialToken.id : undefined
    return special === undefined ? [] : idsOf(step, special, idOf)
  })
  return { before: ids.slice(0, texts[0]).flat(), after: ids.slice(texts[0]! + 1).flat() }
}

/** The ids that the template has for one of its tokens. */
function idsOf(step: JsonObject, name: unknown, idOf: (name: string) => number | undefined): readonly number[] {
  if (typeof name !== "string") return invalid("tokenizer.json", "the post-processor names a token by no text")
  const id = idOf(name)
  if (id === undefined) return invalid("tokenizer.json", `the post-processor adds ${shown(name)}, which is not a token`)
  const specials = isObject(step.special_tokens) ? step.special_tokens : {}
  const listed = Object.hasOwn(specials, name) ? specials[name] : undefined
  const ids: unknown = isObject(listed) ? listed.ids : undefined
  if (ids === undefined) return [id]
  return Array.isArray(ids) && ids.length === 1 && ids[0] === id
    ? [id]
    : invalid("tokenizer.json", `the post-processor has other ids for ${shown(name)} than the vocabulary`)
}

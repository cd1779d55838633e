/**
 * What reads a config.json: a schema of any library, or a function.
 *
 *     config: z.object({ vocab: z.int() })                                zod, of any version
 *     config: v.object({ vocab: v.number() })                             valibot, arktype and others, by standardschema.dev
 *     config: { parse: (json) => ({ vocab: Number(json.vocab) }) }        by hand
 *
 * Only the form is asked for, no library's class: two versions of one library have two classes.
 */
import { WeftError } from "../runtime/errors.js"

/** What `parse` of a schema gives is what the model's functions are given. */
export type ConfigSchema<Config> = ParsingSchema<Config> | StandardSchema<Config>

export interface ParsingSchema<Config> {
  /** The config in `json`; throws when it is none, best with `issues`, each with `path` and `message`. */
  parse(json: unknown): Config
}

/** The part of the Standard Schema (standardschema.dev, version 1) that is used. */
export interface StandardSchema<Config> {
  readonly "~standard": {
    readonly version: 1
    readonly vendor: string
    readonly validate: (json: unknown) => StandardResult<Config> | Promise<StandardResult<Config>>
  }
}

export type StandardResult<Config> =
  | { readonly value: Config; readonly issues?: undefined }
  | { readonly issues: readonly StandardIssue[] }

export interface StandardIssue {
  readonly message: string
  readonly path?: readonly (PropertyKey | { readonly key: PropertyKey })[] | undefined
}

/** An issue as errors of schemas carry it. */
export interface ConfigIssue {
  readonly message: string
  readonly path: readonly PropertyKey[]
}

/**
 * The config that a schema reads from `json`.
 *
 * @throws what the schema throws; WeftError `model/schema`, and `compile/config` with `issues`
 */
export function readConfig<Config>(schema: ConfigSchema<Config>, json: unknown): Config {
  if ("parse" in schema && typeof schema.parse === "function") return schema.parse(json)
  const result = (schema as StandardSchema<Config>)["~standard"].validate(json)
  if (result instanceof Promise)
    throw new WeftError("model/schema", "the schema of the config answers later", {
      hint: "take one that answers at once",
    })
  if (result.issues === undefined) return result.value
  const issues: readonly ConfigIssue[] = result.issues.map(({ message, path = [] }) => ({
    message,
    path: path.map((part) => (typeof part === "object" ? part.key : part)),
  }))
  throw Object.assign(new WeftError("compile/config", "the config is not what the model reads"), { issues })
}

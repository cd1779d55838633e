/** What `weft --help` prints. */
import { devices } from "../compiler/explain/devices.js"

export const usage = `weft: runs language models through kernels that it compiles from their TypeScript definitions

  weft [generate] [PROMPT]    continue a text; without one, tell a story
  weft logits                 write the logits of every position to a file
  weft bench                  measure prompt and generation speed
  weft tune [FILE.ts]         measure schedules on the device, and keep the ones that beat the heuristics
  weft compile FILE.ts        write the artifact of a model: kernels, plan and map of the weights
  weft explain FILE.ts        write a page that shows how a model becomes kernels, and what they cost

  --model DIR                 folder of a checkpoint (default: the one that is shipped, models/tales)
  --model-file FILE.ts        a model definition in the place of the known one; compiling it runs it
  --device auto|webgpu|wasm   auto: WebGPU on a hardware adapter, else WebAssembly
  --threads N                 threads of the WebAssembly device
  --precision exact|fast      fast: cache and long rows in bf16, products in f16 where there is such
                              (default: fast on GPUs, exact elsewhere)
  --context N                 tokens of prompt and answer at most (default: the checkpoint's whole context)
  --tuned FILE                schedules that weft tune wrote (default: the package's for the device, if any)
  --no-cache                  compile again, keep nothing

generate:
  --max-tokens N   --temperature T   --top-k K   --top-p P   --min-p P   --seed N
  --stop TEXT                 end before TEXT; may be repeated
  --tokens 5,17,3             token ids in the place of a prompt
  --ignore-eos                go on after the end token
  --json                      one JSON object in the place of the text

logits:
  --tokens 5,17,3   --out FILE.safetensors

bench:
  --repetitions N (5 or more)   --json

tune:
  --config FILE.json          the config, when a model file is named; --model DIR as above
  --entries prefill,step      entry points to measure (default: prefill, step and greedy)
  --kernels REGEX             kernels to measure, by name (default: all that take 1 % of an entry's time)
  --budget SECONDS            time to measure in (default: 60)
  --out FILE                  where to write (default: the package's compiler/tuned/<device>.json)
  --threads N   --json

compile, explain:
  --config FILE.json          the model's config; none for a program
  --checkpoint DIR            a checkpoint's config and formats instead; FILE.ts may be left out then
  --target webgpu|wasm        what to compile for (default: webgpu)
  --context N   --tuned FILE  as above, but that no file of the package's own is taken
  --out FILE                  where to write: the artifact as JSON, or the page as HTML

explain:
  --seq N                     tokens of the prompt that is explained (default: 512)
  --past N                    tokens before the one that is explained (default: 1024)
  --device NAME               compiled for, and least times on: ${Object.keys(devices).join(", ")};
                              for webgpu the first one when left out
  --measured FILE.json        measured microseconds of a launch, by the name of the kernel
  --json                      the facts as one JSON object. kernelsPerLayer counts the launches of a step for
                              each unit that it calls: "moe" are units that pick members of a weight by indices
                              that they compute, "dense" the others; the largest of each kind
`

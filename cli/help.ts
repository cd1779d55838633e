/** What `weft --help` prints. */
export const usage = `weft: runs language models through kernels that it compiles from their TypeScript definitions

  weft [generate] [PROMPT]    continue a text; without one, tell a story
  weft logits                 write the logits of every position to a file
  weft bench                  measure prompt and generation speed

  --model DIR                 folder of a checkpoint (default: the one that is shipped, models/tales)
  --model-file FILE.ts        a model definition in the place of the known one; compiling it runs it
  --device auto|webgpu|wasm   auto: WebGPU on a hardware adapter, else WebAssembly
  --threads N                 threads of the WebAssembly device
  --context N                 tokens of prompt and answer at most (default: the checkpoint's whole context)
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
`

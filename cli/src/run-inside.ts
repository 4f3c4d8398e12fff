import type { ExecRequestSchema, ExecResponse } from "../../proto/gen/agyn/tunnels/v1/tunnels_service_pb.ts";
import type { MessageInitShape } from "@bufbuild/protobuf";
import { Failure } from "./failures.ts";
import { write, type Terminal } from "./terminal.ts";
import { TunnelInputs } from "./tunnel-inputs.ts";

/** A command for a workload. `takesInput`: the standard input is its; `hasTerminal`: it gets a terminal. */
export type Inside = {
  workload: string;
  organization: string;
  argv: readonly string[];
  terminal: Terminal;
  takesInput: boolean;
  hasTerminal: boolean;
};

type Call = (requests: AsyncIterable<MessageInitShape<typeof ExecRequestSchema>>) => AsyncIterable<ExecResponse>;

/** Where the terminal here does not tell its size. */
const usualSize = { columns: 80, rows: 24 };

/** Runs the command to its end; answers its exit code. The terminal here is as it was before, however that comes about. */
export async function runInside(inside: Inside, call: Call): Promise<number> {
  const { workload, organization, argv, terminal, takesInput, hasTerminal } = inside;
  const { stdin, stdout, stderr, environment } = terminal;
  const sizeNow = () => ({
    columns: stdout.columns ?? usualSize.columns,
    rows: stdout.rows ?? usualSize.rows,
  });
  const ofTerminal = { terminal: sizeNow(), terminalType: environment["TERM"] ?? "" };
  const start = { arguments: [...argv], ...(hasTerminal && ofTerminal) };
  const inputs = new TunnelInputs({ workload, organization, start });
  const resized = (): void => void inputs.say({ case: "resize", value: sizeNow() });
  const isRaw = hasTerminal && takesInput && stdin.isTTY === true;
  const begin = (): void => {
    if (isRaw) stdin.setRawMode?.(true);
    if (hasTerminal) stdout.on("resize", resized);
    // An input that cannot be read any more has ended.
    handOn(inside, inputs).catch(() => inputs.say({ case: "end", value: {} }));
  };
  try {
    for await (const { output } of call(inputs.requests())) {
      const kind = output?.kind;
      if (kind?.case === "started") begin();
      if (kind?.case === "data") await write(stdout, kind.value);
      if (kind?.case === "errorData") await write(stderr, kind.value);
      if (kind?.case === "result") return kind.value.exitCode;
    }
  } finally {
    stdout.off("resize", resized);
    if (isRaw) stdin.setRawMode?.(false);
  }
  throw new Failure("the control plane ended the stream before the command did");
}

/** Hands the standard input on to its end. A command with a terminal but no input finds it silent, not ended. */
async function handOn<S>({ terminal, takesInput, hasTerminal }: Inside, inputs: TunnelInputs<S>): Promise<void> {
  if (takesInput) await inputs.sendAll(terminal.stdin);
  if (takesInput || !hasTerminal) await inputs.say({ case: "end", value: {} });
}

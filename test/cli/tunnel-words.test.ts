import { expect, test } from "vitest";
import { parsePlace } from "../../cli/src/places-of-files.ts";
import { parsePorts } from "../../cli/src/ports.ts";

test.each([
  ["8080:80", { here: 8080, there: 80 }],
  ["80", { here: 80, there: 80 }],
  [":80", { here: 0, there: 80 }],
  ["65535:1", { here: 65_535, there: 1 }],
])("the ports %s are understood", (text, ports) => expect(parsePorts(text)).toEqual(ports));

test.each(["", "0", "80:", "80:0", "65536", "1:2:3", "http", "-1", "8080:80/tcp", "1e3"])(
  "the ports %j are refused with how to write them",
  (text) => expect(() => parsePorts(text)).toThrow("write here:there, such as 8080:80"),
);

test.each([
  ["nightly:out/a.txt", { workload: "nightly", path: "out/a.txt" }],
  ["wkl_k3:/etc/hosts", { workload: "wkl_k3", path: "/etc/hosts" }],
  ["nightly:a:b", { workload: "nightly", path: "a:b" }],
  ["nightly:", { workload: "nightly", path: "." }],
  ["out/a.txt", { workload: undefined, path: "out/a.txt" }],
  ["./nightly:a", { workload: undefined, path: "./nightly:a" }],
  ["/tmp/a:b", { workload: undefined, path: "/tmp/a:b" }],
])("the place %s is understood", (text, place) => expect(parsePlace(text)).toEqual(place));

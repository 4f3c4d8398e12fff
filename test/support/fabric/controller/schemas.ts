import { z } from "zod";

/** What the management API takes, field by field. A field that is not here is refused. */

const name = z.string().min(1).max(200);
const tags = z.record(z.string(), z.union([z.string(), z.boolean(), z.number(), z.null()]));
const roles = z.array(z.string().regex(/^[#@].+$/, "roles begin with # or @")).check((list) => {
  if (list.value.includes("#all") && list.value.length > 1) {
    list.issues.push({ code: "custom", message: "#all must stand alone", input: list.value });
  }
});
const attributes = z.array(z.string().regex(/^[^#@\s].*$/, "attributes begin with neither # nor @"));
const semantic = z.enum(["AllOf", "AnyOf"]);
const cost = z.number().int().min(0).max(65_535);
const precedence = z.enum(["default", "required", "failed"]);
const count = z.number().int().min(0);

export const identity = z.strictObject({
  name,
  type: z.enum(["User", "Device", "Service", "Router", "Default"]),
  isAdmin: z.boolean(),
  roleAttributes: attributes.nullish(),
  externalId: z.string().min(1).nullish(),
  authPolicyId: z.string().min(1).nullish(),
  appData: tags.optional(),
  tags: tags.optional(),
  defaultHostingCost: cost.optional(),
  defaultHostingPrecedence: precedence.optional(),
  enrollment: z.strictObject({ ott: z.boolean() }).optional(),
});

export const service = z.strictObject({
  name,
  encryptionRequired: z.boolean(),
  roleAttributes: attributes.nullish(),
  configs: z.array(z.string()).nullish(),
  terminatorStrategy: z.enum(["smartrouting", "sticky", "weighted", "random"]).optional(),
  maxIdleTimeMillis: count.optional(),
  tags: tags.optional(),
});

export const servicePolicy = z.strictObject({
  name,
  type: z.enum(["Dial", "Bind"]),
  semantic: semantic.optional(),
  identityRoles: roles.nullish(),
  serviceRoles: roles.nullish(),
  postureCheckRoles: roles.nullish(),
  tags: tags.optional(),
});

export const edgeRouterPolicy = z.strictObject({
  name,
  semantic: semantic.optional(),
  identityRoles: roles.nullish(),
  edgeRouterRoles: roles.nullish(),
  tags: tags.optional(),
});

export const serviceEdgeRouterPolicy = z.strictObject({
  name,
  semantic: semantic.optional(),
  serviceRoles: roles.nullish(),
  edgeRouterRoles: roles.nullish(),
  tags: tags.optional(),
});

export const authPolicy = z.strictObject({
  name,
  primary: z.strictObject({
    cert: z.strictObject({ allowed: z.boolean(), allowExpiredCerts: z.boolean() }),
    updb: z.strictObject({
      allowed: z.boolean(),
      minPasswordLength: count,
      requireSpecialChar: z.boolean(),
      requireNumberChar: z.boolean(),
      requireMixedCase: z.boolean(),
      maxAttempts: count,
      lockoutDurationMinutes: count,
    }),
    extJwt: z.strictObject({ allowed: z.boolean(), allowedSigners: z.array(z.string()) }),
  }),
  secondary: z.strictObject({ requireTotp: z.boolean(), requireExtJwtSigner: z.string().nullish() }),
  tags: tags.optional(),
});

export const externalIdClaim = z.strictObject({
  location: z.enum(["COMMON_NAME", "SAN_URI", "SAN_EMAIL"]),
  matcher: z.enum(["ALL", "PREFIX", "SUFFIX", "SCHEME"]),
  matcherCriteria: z.string(),
  parser: z.enum(["NONE", "SPLIT"]),
  parserCriteria: z.string(),
  index: count,
});

export const ca = z.strictObject({
  name,
  certPem: z.string().startsWith("-----BEGIN CERTIFICATE-----"),
  isAutoCaEnrollmentEnabled: z.boolean(),
  isOttCaEnrollmentEnabled: z.boolean(),
  isAuthEnabled: z.boolean(),
  identityRoles: attributes.optional(),
  identityNameFormat: z.string().optional(),
  externalIdClaim: externalIdClaim.nullish(),
  tags: tags.optional(),
});

export const config = z.strictObject({
  name,
  configTypeId: z.string().min(1),
  data: z.record(z.string(), z.unknown()),
  tags: tags.optional(),
});

/** Of routers only this can be changed: they are there from the start. */
export const edgeRouter = z.strictObject({
  name,
  roleAttributes: attributes.nullish(),
  noTraversal: z.boolean().optional(),
  cost: cost.optional(),
  disabled: z.boolean().optional(),
  tags: tags.optional(),
});

/** What a client tells of itself when it logs in. */
const environment = z.strictObject({
  arch: z.string().optional(),
  os: z.string().optional(),
  osRelease: z.string().optional(),
  osVersion: z.string().optional(),
  domain: z.string().optional(),
  hostname: z.string().optional(),
});
const sdk = z.strictObject({
  appId: z.string().optional(),
  appVersion: z.string().optional(),
  branch: z.string().optional(),
  revision: z.string().optional(),
  type: z.string().optional(),
  version: z.string().optional(),
});

export const loginByCert = z.strictObject({
  configTypes: z.array(z.string()).nullish(),
  envInfo: environment.optional(),
  sdkInfo: sdk.optional(),
});

export const loginByPassword = loginByCert.extend({ username: z.string(), password: z.string() });

export const session = z.strictObject({ serviceId: z.string().min(1), type: z.enum(["Dial", "Bind"]) });

export const enrollment = z.strictObject({
  method: z.literal("ott"),
  identityId: z.string().min(1),
  expiresAt: z.iso.datetime(),
});

export const expiry = z.strictObject({ expiresAt: z.iso.datetime() });

export const revocation = z.strictObject({
  id: z.string().min(1),
  type: z.enum(["IDENTITY", "API_SESSION", "JTI"]),
});

export const disabling = z.strictObject({ durationMinutes: count });

export const enrollmentByCsr = z.strictObject({ token: z.string().min(1), clientCsr: z.string().min(1) });

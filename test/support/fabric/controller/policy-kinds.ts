import { ApiError, invalidField, type Route } from "./http.ts";
import { changing, checked, entityRoutes, making, type Kind } from "./entity-routes.ts";
import { edgeRouterJson, serviceJson } from "./client-routes.ts";
import * as schemas from "./schemas.ts";
import type {
  Config,
  EdgeRouter,
  EdgeRouterPolicy,
  Model,
  Service,
  ServiceEdgeRouterPolicy,
  ServicePolicy,
} from "../model.ts";
import type { ControllerState } from "../state.ts";
import type { Entity, Table } from "../table.ts";

/** Services, configurations, routers, and the policies between them and identities. */
export function policyRoutes(state: ControllerState): Route[] {
  const { model } = state;
  return [
    ...entityRoutes(state, services(model)),
    ...entityRoutes(state, configs(model)),
    ...entityRoutes(state, { table: model.configTypes, symbols: [], toJson: (type) => type }),
    ...entityRoutes(state, edgeRouters(model)),
    ...entityRoutes(state, servicePolicies(model)),
    ...entityRoutes(state, edgeRouterPolicies(model)),
    ...entityRoutes(state, serviceEdgeRouterPolicies(model)),
  ];
}

function services(model: Model): Kind<Service> {
  const check = ({ configs: ids }: Partial<Service>) => {
    for (const id of ids ?? []) if (model.configs.get(id) === undefined) throw unknownReference("configs", id);
  };
  return {
    table: model.services,
    symbols: ["encryptionRequired", "roleAttributes", "terminatorStrategy", "configs"],
    toJson: serviceJson,
    create: making(schemas.service, checked(check)),
    patch: changing(schemas.service.partial(), checked(check)),
    remove({ id }) {
      for (const session of model.sessions.all()) if (session.serviceId === id) model.sessions.delete(session.id);
      forgetRole(model, id);
      model.services.delete(id);
    },
  };
}

function configs(model: Model): Kind<Config> {
  return {
    table: model.configs,
    symbols: ["configTypeId"],
    toJson: (config) => config,
    create: making(schemas.config, (fields) => {
      if (model.configTypes.get(fields.configTypeId) === undefined)
        throw unknownReference("configTypeId", fields.configTypeId);
      return fields;
    }),
    patch: changing(schemas.config.omit({ configTypeId: true }).partial(), (fields) => fields),
    remove({ id }) {
      const user = model.services.find((service) => service.configs?.includes(id) ?? false);
      if (user !== undefined) throw stillReferenced("config", id, `service ${user.id}`);
      model.configs.delete(id);
    },
  };
}

function edgeRouters({ edgeRouters: table }: Model): Kind<EdgeRouter> {
  return {
    table,
    symbols: ["roleAttributes", "isOnline", "isVerified", "disabled", "hostname"],
    toJson: (router) => ({ ...edgeRouterJson(router), isVerified: true, isTunnelerEnabled: false }),
    patch: changing(schemas.edgeRouter.partial(), (fields) => fields),
  };
}

function servicePolicies(model: Model): Kind<ServicePolicy> {
  const check = ({ identityRoles, serviceRoles, postureCheckRoles }: Partial<ServicePolicy>) => {
    checkRoles("identityRoles", identityRoles, model.identities);
    checkRoles("serviceRoles", serviceRoles, model.services);
    if ((postureCheckRoles ?? []).length > 0)
      throw invalidField("postureCheckRoles", "there are no posture checks", "");
  };
  return {
    table: model.servicePolicies,
    symbols: ["type", "semantic", "identityRoles", "serviceRoles"],
    toJson: policyJson,
    create: making(schemas.servicePolicy, checked(check)),
    patch: changing(schemas.servicePolicy.partial(), checked(check)),
    remove: ({ id }) => void model.servicePolicies.delete(id),
  };
}

function edgeRouterPolicies(model: Model): Kind<EdgeRouterPolicy> {
  const check = ({ identityRoles, edgeRouterRoles }: Partial<EdgeRouterPolicy>) => {
    checkRoles("identityRoles", identityRoles, model.identities);
    checkRoles("edgeRouterRoles", edgeRouterRoles, model.edgeRouters);
  };
  return {
    table: model.edgeRouterPolicies,
    symbols: ["semantic", "identityRoles", "edgeRouterRoles"],
    toJson: policyJson,
    create: making(schemas.edgeRouterPolicy, checked(check)),
    patch: changing(schemas.edgeRouterPolicy.partial(), checked(check)),
    remove: ({ id }) => void model.edgeRouterPolicies.delete(id),
  };
}

function serviceEdgeRouterPolicies(model: Model): Kind<ServiceEdgeRouterPolicy> {
  const check = ({ serviceRoles, edgeRouterRoles }: Partial<ServiceEdgeRouterPolicy>) => {
    checkRoles("serviceRoles", serviceRoles, model.services);
    checkRoles("edgeRouterRoles", edgeRouterRoles, model.edgeRouters);
  };
  return {
    table: model.serviceEdgeRouterPolicies,
    symbols: ["semantic", "serviceRoles", "edgeRouterRoles"],
    toJson: policyJson,
    create: making(schemas.serviceEdgeRouterPolicy, checked(check)),
    patch: changing(schemas.serviceEdgeRouterPolicy.partial(), checked(check)),
    remove: ({ id }) => void model.serviceEdgeRouterPolicies.delete(id),
  };
}

/** Takes a record that goes away out of the policies that name it. */
export function forgetRole(model: Model, id: string): void {
  const without = (roles: string[] | null | undefined) => roles?.filter((role) => role !== `@${id}`);
  for (const policy of model.servicePolicies.all()) {
    policy.identityRoles = without(policy.identityRoles);
    policy.serviceRoles = without(policy.serviceRoles);
  }
  for (const policy of model.edgeRouterPolicies.all()) policy.identityRoles = without(policy.identityRoles);
  for (const policy of model.serviceEdgeRouterPolicies.all()) policy.serviceRoles = without(policy.serviceRoles);
}

export function unknownReference(field: string, id: string): ApiError {
  return invalidField(field, `there is no such record: ${id}`, id, false);
}

export function stillReferenced(kind: string, id: string, by: string): ApiError {
  return new ApiError(409, "CAN_NOT_DELETE_REFERENCED_ENTITY", `the ${kind} ${id} is still referenced by ${by}`);
}

/** Every `@` of a role must be followed by the id of a record that is there. */
function checkRoles(field: string, roles: readonly string[] | null | undefined, table: Table<Entity>): void {
  for (const role of roles ?? []) {
    if (role.startsWith("@") && table.get(role.slice(1)) === undefined) throw unknownReference(field, role);
  }
}

function policyJson(policy: Entity & { readonly semantic?: string | undefined }): object {
  return { ...policy, semantic: policy.semantic ?? "AllOf", _links: {} };
}

/* /sallyport/explain/handshake?sni=NAME, /sallyport/explain/request, /sallyport/lint, /sallyport/nodes: what the state
 * means and who runs it. */
#include "control/api/call.h"

static void get_handshake(struct cp_call *c)
{
    struct sp_handshake_answer answer;
    struct sp_buf b = {0};
    struct sp_str sni = cp_query(c, "sni");
    sp_explain_handshake(c->arena, c->config->resources, sni, &answer);
    sp_handshake_answer_json(&answer, sni, &b);
    cp_reply_json(c, 200, &b);
}

static void explain_request(struct cp_call *c)
{
    bool post = cp_method(c, "POST");
    struct sp_explain_question q;
    struct sp_error err;
    struct sp_buf b = {0};
    sp_result r = post ? sp_explain_read_json(c->arena, c->x->body, &q, &err)
                       : sp_explain_read_query(c->arena, c->x->query, &q, &err);
    const struct sp_explainer *explainer = sp_failed(r) ? NULL : cp_config_explainer(c->config, &err);
    if (sp_failed(r)) {
        cp_reply_message(c, 400, "%s", err.text);
    } else if (!explainer) {
        cp_reply_message(c, 409, "the current state cannot be explained here: %s", err.text);
    } else {
        sp_explain_request(explainer, &q, c->arena, &b);
        cp_reply_json(c, 200, &b);
    }
}

static void get_lint(struct cp_call *c)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_int(&j, "revision", c->config->revision.revision);
    sp_json_key(&j, "data");
    cp_json_problems(&j, &c->config->problems, SP_PROBLEM_WARNING);
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

static void get_nodes(struct cp_call *c)
{
    struct sp_buf b = {0};
    struct sp_json j = sp_json(&b);
    sp_json_object(&j);
    sp_json_put_int(&j, "revision", c->config->revision.revision);
    sp_json_key(&j, "data");
    if (c->o->nodes) {
        c->o->nodes(c->o->ctx, &j);
    } else {
        sp_json_array(&j);
        sp_json_end_array(&j);
    }
    sp_json_end_object(&j);
    cp_reply_json(c, 200, &b);
}

bool cp_api_explain(struct cp_call *c)
{
    void (*get)(struct cp_call *) = NULL;
    if (!cp_is(c, 0, "sallyport"))
        return false;
    bool request = c->num_segments == 3 && cp_is(c, 1, "explain") && cp_is(c, 2, "request");
    if (request)
        get = explain_request;
    else if (c->num_segments == 3 && cp_is(c, 1, "explain") && cp_is(c, 2, "handshake"))
        get = get_handshake;
    else if (c->num_segments == 2)
        get = cp_is(c, 1, "lint") ? get_lint : cp_is(c, 1, "nodes") ? get_nodes : NULL;
    if (!get)
        return false;
    if (cp_method(c, "GET") || (request && cp_method(c, "POST")))
        get(c);
    else
        cp_reply_not_allowed(c, request ? "GET, HEAD, OPTIONS, POST" : "GET, HEAD, OPTIONS");
    return true;
}

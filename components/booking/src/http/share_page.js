"use strict";
// Pays a share: an order from payment, the provider's checkout, then the report.
const button = document.getElementById("pay");
const told = document.getElementById("told");
const token = button.dataset.token;

const say = (text) => { told.textContent = text; };

async function post(path, body) {
  const answer = await fetch(path, {
    method: "POST",
    headers: { "content-type": "application/json" },
    body: JSON.stringify({ token, ...body }),
  });
  const data = await answer.json().catch(() => ({}));
  if (!answer.ok) throw new Error(data.message || data.detail || "Please try again in a moment.");
  return data;
}

function load(source) {
  return new Promise((resolve, reject) => {
    const script = document.createElement("script");
    script.src = source;
    script.onload = resolve;
    script.onerror = () => reject(new Error("The checkout cannot be reached. Please try again."));
    document.head.append(script);
  });
}

async function report(paid) {
  say("One moment…");
  await post("/api/payments/shares/verify", paid);
  button.hidden = true;
  say("It is paid. Thank you! You get a receipt by e-mail.");
}

const failed = (error) => { button.disabled = false; say(error.message); };

const checkouts = {
  async razorpay({ order, key }) {
    await load("https://checkout.razorpay.com/v1/checkout.js");
    const checkout = new Razorpay({
      key,
      order_id: order.id,
      amount: order.amount,
      currency: order.currency,
      handler: (paid) => report(paid).catch(failed),
      modal: { ondismiss: () => { button.disabled = false; } },
    });
    checkout.open();
  },
  async stripe({ order, key }) {
    await load("https://js.stripe.com/v3/");
    const stripe = Stripe(key);
    const elements = stripe.elements({ clientSecret: order.client_secret });
    elements.create("payment").mount("#card");
    button.disabled = false;
    button.onclick = async () => {
      button.disabled = true;
      const { error, paymentIntent } = await stripe.confirmPayment({
        elements,
        redirect: "if_required",
        confirmParams: { return_url: location.href },
      });
      if (error) return failed(error);
      return report({ payment_intent: paymentIntent.id }).catch(failed);
    };
  },
};

async function pay() {
  button.disabled = true;
  try {
    const made = await post("/api/payments/shares/order", {});
    await checkouts[made.provider](made);
  } catch (error) {
    failed(error);
  }
}

button.onclick = pay;

// Some ways to pay leave the page and come back.
const back = new URLSearchParams(location.search).get("payment_intent");
if (back) report({ payment_intent: back }).catch(failed);
